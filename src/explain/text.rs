//! An explanation for a terminal: a table by protocol and rule with bars, why each rule cuts, the biggest flows, what was
//! not recognised, and what it comes to.
//!
//! It is fitted to the terminal's width; where standard output is none, nothing is folded. Bars are as long as the bytes
//! now, their light part is what would be cut. Nothing but names comes from the captures, and names are made printable.

use std::fmt::Write;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::account::Tally;
use super::{Explanation, rows};
use crate::report::{before_and_after, count, grouped, printable, printable_text, share, size};
use crate::words::Word;

/// Where no terminal says how wide it is.
const WIDTH: usize = 100;
/// From so many columns on there is room for more.
const WIDE: usize = 100;
const VERY_WIDE: usize = 140;
/// A bar is left out where it would have fewer columns than the first, and has never more than the second.
const BAR: std::ops::RangeInclusive<usize> = 5..=50;
/// Columns to which an address or name may be folded, at least.
const NAME_WIDTH: u16 = 20;
/// Between columns.
const GAP: usize = 2;

/// What the text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    /// Columns of the terminal, if it is one.
    pub(super) width: Option<u16>,
    /// Whether bars may be drawn with block characters.
    pub(super) has_blocks: bool,
}

impl Screen {
    /// Standard output.
    pub(super) fn of_stdout() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_lowercase();
        Self {
            width: Table::new().width(),
            has_blocks: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    fn columns(self) -> usize {
        self.width.map_or(WIDTH, usize::from)
    }

    /// What stays and what goes in a bar.
    fn blocks(self) -> [&'static str; 2] {
        if self.has_blocks {
            ["█", "░"]
        } else {
            ["#", "."]
        }
    }
}

/// The whole text.
pub(super) fn render(explanation: &Explanation, screen: Screen) -> String {
    let mut out = String::new();
    let account = &explanation.account;
    if account.total.now > 0 {
        let _ = writeln!(out, "{}\n", headline(explanation));
        by_rule(&mut out, explanation, screen);
        reasons(&mut out, explanation);
        biggest(&mut out, explanation, screen);
        not_recognised(&mut out, explanation, screen);
    }
    let failed = explanation
        .failed
        .iter()
        .map(|(capture, reason)| (printable_text(reason), name(explanation, capture)));
    let failed = grouped(failed);
    if !failed.is_empty() {
        let _ = writeln!(out, "could not be read:\n  {}\n", failed.join("\n  "));
    }
    out + &conclusion(explanation)
}

/// What was asked, and what it comes to.
fn headline(explanation: &Explanation) -> String {
    let total = &explanation.account.total;
    format!(
        "{}: {} by the {} policy, {} saved",
        printable(&explanation.path),
        before_and_after(total.now, total.after),
        explanation.policy.word(),
        share(total.saved(), total.now)
    )
}

fn by_rule(out: &mut String, explanation: &Explanation, screen: Screen) {
    let groups = rows::groups(&explanation.account);
    let mut lines: Vec<(String, Tally)> = Vec::new();
    for group in &groups {
        lines.push((group.name.clone(), group.tally));
        let rows = group.rows.iter().take(explanation.top.max(1));
        lines.extend(rows.map(|row| (format!("  {}", row.name), row.tally)));
        lines.extend(more(&group.rows, explanation.top.max(1)));
    }
    lines.push(("total".to_owned(), explanation.account.total));
    let is_wide = screen.columns() >= WIDE;
    let cells = |(name, tally): &(String, Tally)| {
        let mut cells = vec![
            name.clone(),
            flows(tally),
            if tally.packets == 0 {
                String::new()
            } else {
                count(tally.packets)
            },
            size(tally.now),
            size(tally.after),
            if tally.saved() == 0 {
                "-".to_owned()
            } else {
                size(tally.saved())
            },
        ];
        if is_wide {
            cells.push(rows::share(tally.saved(), tally.now));
        }
        cells
    };
    let mut header = vec!["", "flows", "packets", "now", "after", "saved"];
    header.extend(is_wide.then_some(""));
    let table: Vec<Vec<String>> = lines.iter().map(cells).collect();
    let room = room(&header, &table, screen);
    let longest = groups.iter().map(|group| group.tally.now).max().unwrap_or(0);
    let drawn = |(cells, (_, tally)): (Vec<String>, &(String, Tally))| {
        let mut cells = cells;
        if let Some(room) = room {
            cells.push(bar(tally, longest, room, screen));
        }
        cells
    };
    let last = lines.len() - 1;
    let with_bars = table.into_iter().zip(&lines).enumerate().map(|(index, row)| {
        let (cells, line) = row;
        // The bar of the total would be longer than all others.
        if index == last {
            cells
        } else {
            drawn((cells, line))
        }
    });
    header.extend(room.map(|_| ""));
    let right: Vec<usize> = (1..header.len() - usize::from(room.is_some())).collect();
    let _ = writeln!(out, "{}", grid(&header, with_bars.collect(), &right, None));
    let [stays, goes] = screen.blocks();
    if room.is_some() && explanation.account.total.saved() > 0 {
        let _ = writeln!(out, "{stays} stays   {goes} would be cut");
    }
    if lines.iter().any(|(_, tally)| tally.is_more) {
        let _ = writeln!(
            out,
            "+ more flows than that: of one capture {} at most are told apart",
            count(super::gather::MOST_FLOWS as u64)
        );
    }
    out.push('\n');
}

/// The sum of the rows that are not shown, if there are any.
fn more(rows: &[rows::Row], shown: usize) -> Option<(String, Tally)> {
    let hidden = rows.get(shown..).filter(|hidden| !hidden.is_empty())?;
    let mut sum = Tally::default();
    for row in hidden {
        sum += row.tally;
    }
    Some((format!("  {} more", count(hidden.len() as u64)), sum))
}

/// How many flows, where there are any.
fn flows(tally: &Tally) -> String {
    match (tally.flows, tally.is_more) {
        (0, false) => String::new(),
        (flows, false) => count(flows),
        (flows, true) => format!("{}+", count(flows)),
    }
}

/// How many columns are left for a bar.
fn room(header: &[&str], rows: &[Vec<String>], screen: Screen) -> Option<usize> {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        let widths = cells
            .chain(header.get(column).copied())
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or(0) + GAP
    };
    let taken: usize = (0..header.len()).map(widest).sum();
    let left = screen.columns().saturating_sub(taken).min(*BAR.end());
    BAR.contains(&left).then_some(left)
}

/// A bar of at most `room` columns: what stays, then what goes. What is there at all has one column.
fn bar(tally: &Tally, longest: u64, room: usize, screen: Screen) -> String {
    let cells = |bytes: u64| {
        let scaled = (u128::from(bytes) * room as u128 + u128::from(longest) / 2)
            .checked_div(u128::from(longest))
            .unwrap_or(0);
        usize::try_from(scaled).unwrap_or(room).min(room)
    };
    if tally.now == 0 {
        return String::new();
    }
    let [stays, goes] = screen.blocks();
    let whole = cells(tally.now).max(1);
    let left = if tally.after == tally.now {
        whole
    } else {
        cells(tally.after).min(whole)
    };
    stays.repeat(left) + &goes.repeat(whole - left)
}

/// Why each rule cuts and the rest stays, for what there is.
fn reasons(out: &mut String, explanation: &Explanation) {
    let groups = rows::groups(&explanation.account);
    let mut told: Vec<(&str, &str)> = Vec::new();
    for row in groups.iter().flat_map(|group| &group.rows) {
        let reason = (row.name.as_str(), row.why);
        if !row.why.is_empty() && !told.contains(&reason) {
            told.push(reason);
        }
    }
    if told.is_empty() {
        return;
    }
    // What is cut comes first, in the order of the table.
    told.sort_by_key(|(name, _)| name.starts_with("kept"));
    let widest = told.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let _ = writeln!(out, "why:");
    for (name, why) in told {
        let _ = writeln!(out, "  {name:widest$}  {why}");
    }
    out.push('\n');
}

fn biggest(out: &mut String, explanation: &Explanation, screen: Screen) {
    let biggest = &explanation.account.biggest;
    if biggest.is_empty() {
        return;
    }
    let has_captures = explanation.captures.len() > 1 && screen.columns() >= VERY_WIDE;
    let mut header = vec!["biggest flows", "", "packets", "now", "after", "saved", "cut by"];
    header.extend(has_captures.then_some("in"));
    let rows = biggest.iter().map(|flow| {
        let [client, server] = flow.ends();
        let mut cells = vec![
            format!("{client} -> {server}"),
            flow.protocol().to_owned(),
            count(flow.tally.packets),
            size(flow.tally.now),
            size(flow.tally.after),
            rows::share(flow.tally.saved(), flow.tally.now),
            flow.rules
                .iter()
                .map(|rule| rule.word())
                .collect::<Vec<_>>()
                .join(", "),
        ];
        if has_captures {
            let capture = explanation.captures.get(flow.capture);
            cells.push(
                capture
                    .map(|capture| name(explanation, capture))
                    .unwrap_or_default(),
            );
        }
        cells
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    if screen.columns() < WIDE {
        // The rules are in the JSON and on the page.
        header.truncate(6);
        rows.iter_mut().for_each(|row| row.truncate(6));
    }
    let _ = writeln!(out, "{}\n", grid(&header, rows, &[2, 3, 4, 5], screen.width));
}

fn not_recognised(out: &mut String, explanation: &Explanation, screen: Screen) {
    let ports = rows::ports(&explanation.account);
    if ports.is_empty() {
        return;
    }
    let header = [
        "kept, not recognised",
        "flows",
        "packets",
        "bytes",
        "looks random",
    ];
    let shown = ports.iter().take(explanation.top.max(1));
    let mut rows: Vec<Vec<String>> = shown
        .map(|&(port, unknown)| {
            let random = unknown.random_percent();
            vec![
                rows::port_name(port),
                flows(&unknown.tally),
                count(unknown.tally.packets),
                size(unknown.tally.now),
                random.map_or("-".to_owned(), |percent| format!("{percent} %")),
            ]
        })
        .collect();
    let room = room(&header, &rows, screen);
    let longest = ports.first().map_or(0, |(_, unknown)| unknown.tally.now);
    if let Some(room) = room {
        for (row, (_, unknown)) in rows.iter_mut().zip(&ports) {
            row.push(bar(&unknown.tally, longest, room, screen));
        }
    }
    let _ = writeln!(out, "{}", grid(&header, rows, &[1, 2, 3, 4], None));
    let hidden = ports.get(explanation.top.max(1)..).unwrap_or_default();
    if !hidden.is_empty() {
        let bytes = hidden.iter().map(|(_, unknown)| unknown.tally.now).sum();
        let _ = writeln!(
            out,
            "and {} more ports with {}",
            count(hidden.len() as u64),
            size(bytes)
        );
    }
    out.push('\n');
}

/// A table; the columns `right` are aligned to the right, and the first is folded where a width is given.
fn grid(header: &[&str], rows: Vec<Vec<String>>, right: &[usize], width: Option<u16>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if let Some(width) = width {
        table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header.iter().copied());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index == 0 {
            column.set_padding((0, 1));
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(NAME_WIDTH)));
        } else {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The name under which a capture is told.
fn name(explanation: &Explanation, capture: &std::path::Path) -> String {
    let relative = if explanation.is_directory {
        capture.strip_prefix(&explanation.path).ok()
    } else {
        None
    };
    printable(relative.unwrap_or(capture))
}

/// The last lines: how many captures, and what it comes to.
fn conclusion(explanation: &Explanation) -> String {
    let mut out = String::new();
    let read = explanation.captures.len() as u64;
    if explanation.is_directory {
        let _ = write!(out, "{} read", captures(read));
        if explanation.slimmed > 0 {
            let _ = write!(out, " ({} slimmed already)", count(explanation.slimmed));
        }
        if !explanation.failed.is_empty() {
            let _ = write!(out, ", {} could not be", count(explanation.failed.len() as u64));
        }
        if explanation.not_captures > 0 {
            let _ = write!(out, ", {} no captures", count(explanation.not_captures));
        }
        out.push('\n');
    } else if explanation.slimmed > 0 {
        out.push_str("this capture is slimmed already\n");
    }
    match explanation.lasts() {
        Some(times) if times >= 1.05 && explanation.is_directory => {
            let _ = writeln!(out, "this sensor's disk would last {times:.1} times as long");
        }
        Some(times) if times >= 1.05 => {
            let _ = writeln!(out, "captures like this one would last {times:.1} times as long");
        }
        Some(_) => out.push_str("slimming would hardly save anything here\n"),
        None => {}
    }
    out
}

fn captures(number: u64) -> String {
    match number {
        1 => "1 capture".to_owned(),
        number => format!("{} captures", count(number)),
    }
}
