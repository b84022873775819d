//! An explanation for a terminal: a table by protocol and rule with bars, why each rule cuts, the biggest flows, what was
//! not recognised, and what it comes to.
//!
//! It is fitted to the terminal's width; where standard output is none, nothing is folded. Bars are as long as the bytes
//! now, their light part is what would be cut. Nothing but names comes from the captures, and names are made printable.

use std::fmt::Write;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::account::Tally;
use super::{Explanation, rows};
use crate::report::{count, grouped, printable_text, size};

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

    /// What stays and what goes in a bar, and what is too little for either.
    fn blocks(self) -> [&'static str; 3] {
        if self.has_blocks {
            ["█", "░", "▏"]
        } else {
            ["#", ".", "|"]
        }
    }
}

/// The whole text.
pub(super) fn render(explanation: &Explanation, screen: Screen) -> String {
    let mut out = String::new();
    let account = &explanation.account;
    if account.total.now > 0 {
        let _ = writeln!(out, "{}\n", explanation.headline());
        by_rule(&mut out, explanation, screen);
        reasons(&mut out, explanation);
        biggest(&mut out, explanation, screen);
        not_recognised(&mut out, explanation, screen);
    }
    let failed = explanation
        .failed
        .iter()
        .map(|(capture, reason)| (printable_text(reason), explanation.name(capture)));
    let failed = grouped(failed);
    if !failed.is_empty() {
        let _ = writeln!(out, "could not be read:\n  {}\n", failed.join("\n  "));
    }
    for line in explanation
        .read_line()
        .into_iter()
        .chain(explanation.conclusion())
    {
        let _ = writeln!(out, "{line}");
    }
    out
}

fn by_rule(out: &mut String, explanation: &Explanation, screen: Screen) {
    let groups = rows::groups(&explanation.account);
    let mut lines: Vec<(String, Tally)> = Vec::new();
    for group in &groups {
        lines.push((group.name.clone(), group.tally));
        if group.is_plain() {
            continue;
        }
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
    let [stays, goes, _] = screen.blocks();
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

/// A bar of at most `room` columns: what stays, then what goes. What is there at all shows.
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
    let [stays, goes, little] = screen.blocks();
    let whole = cells(tally.now);
    if whole == 0 {
        return little.to_owned();
    }
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
    let mut told: Vec<&rows::Row> = Vec::new();
    for row in groups.iter().flat_map(|group| &group.rows) {
        if row.is_kept().is_some() && told.iter().all(|known| known.name != row.name) {
            told.push(row);
        }
    }
    if told.is_empty() {
        return;
    }
    // What is cut comes first, in the order of the table.
    told.sort_by_key(|row| row.is_kept());
    let widest = told.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let _ = writeln!(out, "why:");
    for row in told {
        let _ = writeln!(out, "  {:widest$}  {}", row.name, row.why);
    }
    out.push('\n');
}

fn biggest(out: &mut String, explanation: &Explanation, screen: Screen) {
    let biggest = &explanation.account.biggest;
    if biggest.is_empty() {
        return;
    }
    let is_wide = screen.columns() >= WIDE;
    let has_captures = explanation.captures.len() > 1 && screen.columns() >= VERY_WIDE;
    let mut header = vec!["biggest flows", "", "now", "after", "saved"];
    header.extend(is_wide.then_some("cut by"));
    header.extend(has_captures.then_some("in"));
    let rows = biggest.iter().map(|flow| {
        let [client, server] = flow.ends();
        let mut cells = vec![
            format!("{client} -> {server}"),
            flow.protocol().to_owned(),
            size(flow.tally.now),
            size(flow.tally.after),
            rows::share(flow.tally.saved(), flow.tally.now),
        ];
        cells.extend(is_wide.then(|| flow.rule_names().join(", ")));
        let capture = explanation.captures.get(flow.capture).filter(|_| has_captures);
        cells.extend(capture.map(|capture| explanation.name(capture)));
        cells
    });
    let rows = rows.collect();
    let _ = writeln!(out, "{}\n", grid(&header, rows, &[2, 3, 4], screen.width));
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
