//! An explanation as one page for a browser, with everything in it: no script, no font, nothing from anywhere else.
//!
//! Its content security policy says so to the browser, so that a page from a sensor can be opened anywhere. `maud` writes
//! it: every text that is put in is escaped, and tags are closed, when this file is compiled. Charts are tables whose
//! rows have a bar, so that whoever cannot see the bars has the figures; roles are written out because tables become
//! lists on narrow screens. Colours and shapes are in `html.css`.

use std::cmp::Reverse;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::account::Tally;
use super::rows::{self, Group, Row};
use super::{Explanation, account::BigFlow};
use crate::report::{count, grouped, printable_text, share, size};

/// Nothing may be loaded or run; the styles are in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const STYLE: &str = include_str!("html.css");

/// The whole page.
pub(super) fn render(explanation: &Explanation) -> String {
    let groups = rows::groups(&explanation.account);
    let sections = [
        ("protocols", "By protocol", protocols(&groups)),
        (
            "rules",
            "Cut, by rule",
            rules("Bytes of packets that would be cut, and why", &groups, false),
        ),
        ("flows", "Biggest flows", flows(explanation)),
        (
            "kept",
            "Recognised and kept",
            rules("Bytes of packets that stay, and why", &groups, true),
        ),
        ("ports", "Kept because it was not recognised", ports(explanation)),
        ("others", "Other frames, all kept", others(&groups)),
        ("unread", "Captures that could not be read", failures(explanation)),
    ];
    let sections: Vec<_> = sections
        .into_iter()
        .filter_map(|(id, heading, content)| Some((id, heading, content?)))
        .collect();
    let title = format!("What slimming would cut: {}", explanation.name(&explanation.path));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("pcap-slim ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (head(explanation)) }
                nav aria-label="Sections" {
                    ul { @for (id, heading, _) in &sections { li { a href={ "#" (id) } { (heading) } } } }
                }
                main {
                    @for (id, heading, content) in &sections {
                        section aria-labelledby=(id) { h2 id=(id) { (heading) } (content) }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// What was asked, and the figures that matter most.
fn head(explanation: &Explanation) -> Markup {
    let total = &explanation.account.total;
    html! {
        h1 { "What slimming would cut" }
        p { (explanation.headline()) }
        @if let Some(line) = explanation.read_line() { p.quiet { (line) } }
        dl {
            (card("Now", &size(total.now)))
            (card("After slimming", &size(total.after)))
            (card("Saved", &share(total.saved(), total.now)))
            (card("Flows", &flow_count(total)))
            (card("Packets", &count(total.packets)))
        }
        @if let Some(conclusion) = explanation.conclusion() { p.conclusion { (conclusion) } }
        p.legend aria-hidden="true" {
            span { svg { rect.stays width="100%" height="100%" {} } "stays" }
            span { svg { rect.goes width="100%" height="100%" {} } "would be cut" }
        }
    }
}

fn card(name: &str, figure: &str) -> Markup {
    html! { div { dt { (name) } dd { (figure) } } }
}

fn protocols(groups: &[Group]) -> Option<Markup> {
    let longest = groups.iter().map(|group| group.tally.now).max()?;
    let rows = groups.iter().map(|group| {
        let cells = figures(&group.tally);
        line(&group.name, "", &group.tally, longest, &cells)
    });
    Some(table("Bytes by protocol, now and after slimming", &FIGURES, rows))
}

/// Rows of protocols, each with why it is so: those that are cut, or those that are kept.
fn rules(caption: &str, groups: &[Group], are_kept: bool) -> Option<Markup> {
    let mut rows: Vec<(&Group, &Row)> = groups
        .iter()
        .flat_map(|group| group.rows.iter().map(move |row| (group, row)))
        .filter(|(_, row)| row.is_kept() == Some(are_kept))
        .collect();
    rows.sort_by_key(|(_, row)| Reverse(row.tally.now));
    let longest = rows.first()?.1.tally.now;
    let lines = rows.iter().map(|(group, row)| {
        let name = format!("{}, {}", group.name, row.name);
        line(&name, row.why, &row.tally, longest, &figures(&row.tally))
    });
    Some(table(caption, &FIGURES, lines))
}

fn flows(explanation: &Explanation) -> Option<Markup> {
    let biggest = &explanation.account.biggest;
    let longest = biggest.first()?.tally.now;
    let has_captures = explanation.is_directory;
    let lines = biggest.iter().map(|flow| {
        let [client, server] = flow.ends();
        let mut about = about(flow);
        let capture = explanation.captures.get(flow.capture).filter(|_| has_captures);
        if let Some(capture) = capture {
            about = format!("{about}; in {}", explanation.name(capture));
        }
        let [_, cells @ ..] = figures(&flow.tally);
        line(
            &format!("{client} → {server}"),
            &about,
            &flow.tally,
            longest,
            &cells,
        )
    });
    let [_, header @ ..] = FIGURES;
    Some(table("The biggest flows by bytes now", &header, lines))
}

/// What a flow speaks and by which rules it is cut.
fn about(flow: &BigFlow) -> String {
    match flow.rules.as_slice() {
        [] => format!("{}, kept", flow.protocol()),
        _ => format!("{}, cut by {}", flow.protocol(), flow.rule_names().join(", ")),
    }
}

fn ports(explanation: &Explanation) -> Option<Markup> {
    let ports = rows::ports(&explanation.account);
    let longest = ports.first()?.1.tally.now;
    let shown = ports.iter().take(explanation.top);
    let lines = shown.map(|&(port, unknown)| {
        let random = unknown.random_percent();
        let cells = [
            ("Flows", flow_count(&unknown.tally)),
            ("Packets", count(unknown.tally.packets)),
            ("Bytes", size(unknown.tally.now)),
            (
                "Looks random",
                random.map_or_else(String::new, |percent| format!("{percent} %")),
            ),
        ];
        line(&rows::port_name(port), "", &unknown.tally, longest, &cells)
    });
    let header = ["Flows", "Packets", "Bytes", "Looks random"];
    let hidden = ports.get(explanation.top..).unwrap_or_default();
    let hidden_bytes = hidden.iter().map(|(_, unknown)| unknown.tally.now).sum();
    Some(html! {
        p { "What looks random is encrypted or compressed: much of it on one port may be worth a rule." }
        (table("Ports of flows in which no protocol was recognised", &header, lines))
        @if !hidden.is_empty() {
            p.quiet { "And " (count(hidden.len() as u64)) " more ports with " (size(hidden_bytes)) "." }
        }
    })
}

fn others(groups: &[Group]) -> Option<Markup> {
    let group = groups.iter().find(|group| group.name == rows::OTHER_FRAMES)?;
    let longest = group.rows.first()?.tally.now;
    let lines = group.rows.iter().map(|row| {
        let cells = [
            ("Packets", count(row.tally.packets)),
            ("Bytes", size(row.tally.now)),
        ];
        line(&row.name, "", &row.tally, longest, &cells)
    });
    Some(table(
        "Frames that the policy does not look into",
        &["Packets", "Bytes"],
        lines,
    ))
}

fn failures(explanation: &Explanation) -> Option<Markup> {
    let failed = explanation.failed.iter();
    let failed = grouped(failed.map(|(capture, reason)| (printable_text(reason), explanation.name(capture))));
    (!failed.is_empty()).then(|| html! { ul { @for line in failed { li { (line) } } } })
}

/// The columns of most tables.
const FIGURES: [&str; 6] = ["Flows", "Packets", "Now", "After", "Saved", "Share"];

/// The cells of [`FIGURES`], each under its heading.
fn figures(tally: &Tally) -> [(&'static str, String); 6] {
    let some = |number: u64, text: String| if number == 0 { String::new() } else { text };
    let [flows, packet_count, now, after, saved, percent] = FIGURES;
    [
        (flows, flow_count(tally)),
        (packet_count, some(tally.packets, count(tally.packets))),
        (now, size(tally.now)),
        (after, size(tally.after)),
        (saved, some(tally.saved(), size(tally.saved()))),
        (percent, some(tally.saved(), share(tally.saved(), tally.now))),
    ]
}

fn flow_count(tally: &Tally) -> String {
    match (tally.flows, tally.is_more) {
        (0, false) => String::new(),
        (flows, false) => count(flows),
        (flows, true) => format!("more than {}", count(flows)),
    }
}

/// A table with a bar in each row.
fn table(caption: &str, header: &[&str], lines: impl Iterator<Item = Markup>) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    th role="columnheader" scope="col" { "Name" }
                    th.words role="columnheader" scope="col" { "Bytes" }
                    @for name in header { th role="columnheader" scope="col" { (name) } }
                }
            }
            tbody role="rowgroup" { @for line in lines { (line) } }
        }
    }
}

/// A row: its name, a word about it, the bar, and cells under their headings.
fn line(name: &str, about: &str, tally: &Tally, longest: u64, cells: &[(&'static str, String)]) -> Markup {
    html! {
        tr role="row" {
            th role="rowheader" scope="row" {
                (name)
                @if !about.is_empty() { small { (about) } }
            }
            td.chart role="cell" { (bar(tally, longest)) }
            @for (heading, cell) in cells { td role="cell" data-label=(heading) { (cell) } }
        }
    }
}

/// A bar whose whole length stands for the bytes now, and its dark part for what stays.
fn bar(tally: &Tally, longest: u64) -> Markup {
    let percent = |bytes: u64| {
        let percent = bytes as f64 * 100.0 / longest.max(1) as f64;
        format!("{percent:.2}%")
    };
    let label = match tally.saved() {
        0 => format!("all of {} stays", size(tally.now)),
        saved => format!("{} of {} would be cut", size(saved), size(tally.now)),
    };
    html! {
        svg.bar role="img" aria-label=(label) {
            rect.goes width=(percent(tally.now)) height="100%" {}
            rect.stays width=(percent(tally.after)) height="100%" {}
        }
    }
}
