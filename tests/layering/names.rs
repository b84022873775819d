//! What the code of one file names: paths inside this crate, paths into other crates, macros.
//!
//! Apart from the rules, which are next door: this only reads. `use` trees are flattened, `self` and `super` resolved,
//! and paths in the tokens of macros and attributes found too. Code under `cfg(test)` is left out.

use std::collections::BTreeSet;

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

use crate::Source;

/// What the code of one file names, tests left out.
#[derive(Default)]
pub(crate) struct Names {
    /// Paths inside this crate, without `crate`.
    pub(crate) inside: Vec<Vec<String>>,
    /// Every other path of two segments or more.
    pub(crate) outside: Vec<Vec<String>>,
    pub(crate) macros: Vec<String>,
    /// Every identifier: of functions, methods, types and variables alike.
    pub(crate) words: BTreeSet<String>,
    module_path: Vec<String>,
}

impl Names {
    pub(crate) fn of(source: &Source) -> Self {
        let file = syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.place));
        let mut names = Self {
            module_path: source.module_path(),
            ..Self::default()
        };
        names.visit_file(&file);
        names
    }

    fn add(&mut self, path: Vec<String>) {
        match path.first().map(String::as_str) {
            Some("crate" | "pcap_slim") => self.inside.push(path[1..].to_vec()),
            Some("self" | "super") if path.len() > 1 => {
                let mut from = self.module_path.clone();
                let up = path.iter().take_while(|segment| *segment == "super").count();
                from.truncate(from.len().saturating_sub(up));
                from.extend(
                    path.into_iter()
                        .skip_while(|segment| segment == "super" || segment == "self"),
                );
                self.inside.push(from);
            }
            Some(_) if path.len() > 1 => self.outside.push(path),
            _ => {}
        }
    }

    fn add_use(&mut self, mut path: Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(step) => {
                self.visit_ident(&step.ident);
                path.push(step.ident.to_string());
                self.add_use(path, &step.tree);
            }
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|item| self.add_use(path.clone(), item)),
            syn::UseTree::Name(syn::UseName { ident })
            | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                self.visit_ident(ident);
                path.push(ident.to_string());
                if path.len() == 1 {
                    path.push("self".into());
                }
                self.add(path);
            }
            syn::UseTree::Glob(_) => {
                path.push("*".into());
                self.add(path);
            }
        }
    }

    /// Macros and attributes hold bare tokens: paths are picked out of them by their colons.
    fn add_tokens(&mut self, mut cursor: Cursor) {
        while !cursor.eof() {
            if let Some((ident, mut rest)) = cursor.ident() {
                self.visit_ident(&ident);
                let mut path = vec![ident.to_string()];
                while let Some((next, after)) = behind_colons(rest).and_then(Cursor::ident) {
                    self.visit_ident(&next);
                    path.push(next.to_string());
                    rest = after;
                }
                if rest.punct().is_some_and(|(punct, _)| punct.as_char() == '!') {
                    self.macros.extend(path.last().cloned());
                }
                self.add(path);
                cursor = rest;
            } else if let Some((inner, _, _, rest)) = cursor.any_group() {
                self.add_tokens(inner);
                cursor = rest;
            } else {
                cursor = cursor.token_tree().map_or_else(Cursor::empty, |(_, rest)| rest);
            }
        }
    }
}

fn behind_colons(cursor: Cursor) -> Option<Cursor> {
    let (first, rest) = cursor.punct()?;
    let (second, rest) = rest.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(rest)
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[syn::Attribute] = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_test_only) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module_path.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module_path.pop();
    }

    fn visit_ident(&mut self, ident: &'ast syn::Ident) {
        self.words.insert(ident.to_string());
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(
            path.segments
                .iter()
                .map(|segment| segment.ident.to_string())
                .collect(),
        );
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.macros
            .extend(call.path.segments.last().map(|segment| segment.ident.to_string()));
        self.visit_path(&call.path);
        self.add_tokens(TokenBuffer::new2(call.tokens.clone()).begin());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        self.visit_path(attribute.path());
        if let syn::Meta::List(list) = &attribute.meta {
            self.add_tokens(TokenBuffer::new2(list.tokens.clone()).begin());
        }
    }
}

fn is_test_only(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("test")
        || attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
}
