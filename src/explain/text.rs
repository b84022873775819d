//! An explanation for a terminal: a table by protocol and rule with bars, why each rule cuts, the biggest flows, what was
//! not recognised, and what it comes to.
//!
//! It is fitted to the terminal's width; where standard output is none, nothing is folded. Bars are as long as the bytes
//! now, their light part is what would be cut. Nothing but names comes from the captures, and names are made printable.

use std::fmt::Write;
use std::ops::{Range, RangeInclusive};

use super::account::Tally;
use super::{Explanation, rows};
use crate::report::{Column, count, grid, grouped, printable_text, size, terminal_width};

/// Where no terminal says how wide it is.
const WIDTH: usize = 100;
/// From so many columns on there is room for more.
const WIDE: usize = 100;
const VERY_WIDE: usize = 140;
/// A bar is left out where it would have fewer columns than the first, and has never more than the second.
const BAR: RangeInclusive<usize> = 5..=50;
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
            width: terminal_width(),
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
    let last_number = header.len() - usize::from(room.is_some());
    let _ = writeln!(out, "{}", grid(None, &header, numbers(1..last_number), with_bars));
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
    let _ = writeln!(out, "{}\n", grid(screen.width, &header, numbers(2..5), rows));
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
    let _ = writeln!(out, "{}", grid(None, &header, numbers(1..5), rows));
    let hidden = ports.get(explanation.top.max(1)..).unwrap_or_default();
    if !hidden.is_empty() {
        let bytes = hidden.iter().map(|(_, unknown)| unknown.tally.now).sum();
        let _ = writeln!(
            out,
            "and {} more with {}",
            count(hidden.len() as u64),
            size(bytes)
        );
    }
    out.push('\n');
}

/// A table whose first column has names, and these numbers.
fn numbers(numbers: Range<usize>) -> impl Fn(usize) -> Column {
    move |index| match index {
        0 => Column::Name,
        index if numbers.contains(&index) => Column::Number,
        _ => Column::Word,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use super::super::account::{Account, BigFlow, Kept, Unknown};
    use super::super::{Explanation, Unread};
    use super::*;
    use crate::capture::LinkType;
    use crate::slim::PolicyName;
    use crate::slim::dissect::{self, Scope, Transport};
    use crate::slim::flow::Key;
    use crate::slim::policy::{Rule, Spoken};
    use crate::words::Word;

    fn tally(flows: u64, packets: u64, now: u64, after: u64) -> Tally {
        Tally {
            flows,
            packets,
            now,
            after,
            is_more: false,
        }
    }

    /// The key of a flow between two addresses that are as long as addresses get.
    fn key() -> Key {
        let ends = [192, 168, 100, 101, 203, 150, 213, 214];
        let header = [0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
        let tcp = [
            0xc3, 0x50, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 16, 1, 0, 0, 0, 0, 0,
        ];
        let frame = [&[0; 12][..], &[8, 0], &header, &ends, &tcp].concat();
        let datagram = dissect::frame(LinkType::ETHERNET, &frame, Scope::Plain).unwrap();
        Key::of(&frame, &datagram).unwrap().0
    }

    fn explanation() -> Explanation {
        let mut account = Account {
            total: tally(1_420, 1_003_020, 1_000_000_024, 400_000_024),
            framing: 24,
            ..Account::default()
        };
        account
            .cut
            .insert(Rule::TlsRecords, tally(1_200, 700_000, 650_000_000, 50_000_000));
        account.kept.insert(
            (Some(Spoken::Tls), Kept::Readable),
            tally(1_203, 3_000, 250_000_000, 250_000_000),
        );
        account
            .kept
            .insert((Some(Spoken::Ike), Kept::Readable), tally(2, 20, 5_000, 5_000));
        account.speakers.insert(Spoken::Tls, tally(1_203, 0, 0, 0));
        account.speakers.insert(Spoken::Ike, tally(2, 0, 0, 0));
        for (port, bytes) in [(80, 60_000_000), (8080, 30_000_000), (9000, 9_000_000)] {
            let unknown = Unknown {
                tally: tally(100, 100_000, bytes, bytes),
                payload: 1_000,
                random: u64::from(port) / 100,
            };
            account.unknown.insert((Transport::Tcp, port), unknown);
        }
        account
            .unread
            .insert(Unread::EtherType(0x0806), tally(0, 0, 995_000, 995_000));
        account.biggest.push(BigFlow {
            capture: 0,
            key: key(),
            server: 1,
            transport: Transport::Tcp,
            spoken: Some(Spoken::Tls),
            rules: vec![Rule::TlsRecords],
            tally: tally(0, 9_000, 9_000_000, 700_000),
        });
        Explanation {
            path: PathBuf::from("/captures"),
            is_directory: true,
            policy: PolicyName::Evidence,
            captures: vec![
                PathBuf::from("/captures/a.pcap"),
                PathBuf::from("/captures/b.pcap"),
            ],
            slimmed: 0,
            not_captures: 1,
            failed: vec![(PathBuf::from("/captures/c\n.pcap"), "torn".to_owned())],
            fresh: account.total,
            account,
            top: 2,
        }
    }

    fn on(width: u16) -> String {
        let screen = Screen {
            width: Some(width),
            has_blocks: true,
        };
        render(&explanation(), screen)
    }

    #[test]
    fn on_eighty_columns_everything_is_there() {
        assert_eq!(
            on(80),
            "\
/captures: 1.00 GB -> 0.40 GB by the evidence policy, 60.0 % saved

                  flows    packets      now    after   saved
tls               1,203    703,000   900 MB   300 MB  600 MB  ██████░░░░░░░░░░░░
  tls-records     1,200    700,000   650 MB  50.0 MB  600 MB  █░░░░░░░░░░░░
  kept: readable  1,203      3,000   250 MB   250 MB       -  █████
ike                   2         20  5.00 kB  5.00 kB       -  ▏
not recognised      300    300,000  99.0 MB  99.0 MB       -  ██
  tcp               300    300,000  99.0 MB  99.0 MB       -  ██
other frames                         995 kB   995 kB       -  ▏
  ARP                                995 kB   995 kB       -  ▏
file headers                           24 B     24 B       -  ▏
total             1,420  1,003,020  1.00 GB   400 MB  600 MB
█ stays   ░ would be cut

why:
  tls-records     encrypted TLS records, in a stream that could be followed
  kept: readable  can be read without a key, or is too short to cut

biggest flows                                          now   after   saved
192.168.100.101:50000 -> 203.150.213.214:443  tls  9.00 MB  700 kB  92.2 %

kept, not recognised  flows  packets    bytes  looks random
tcp 80                  100  100,000  60.0 MB           0 %  ███████████████████
tcp 8080                100  100,000  30.0 MB           8 %  ██████████
and 1 more with 9.00 MB

could not be read:
  c\\n.pcap: torn

2 captures read, 1 could not be read, 1 not a capture
this sensor's disk would last 2.5 times as long
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [80, 100, 120, 200] {
            let text = on(width);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width.into()), "{width}:\n{text}");
        }
        assert!(on(200).contains("tls-records  a.pcap"), "{}", on(200));
    }

    #[test]
    fn every_reason_fits_behind_the_longest_name() {
        for &(_, rule) in Rule::WORDS {
            assert!(
                rows::why(rule).len() <= 80 - "  quic-short-header  ".len(),
                "{rule:?}"
            );
        }
    }

    #[test]
    fn without_blocks_the_text_is_ascii() {
        let screen = Screen {
            width: None,
            has_blocks: false,
        };
        let text = render(&explanation(), screen);
        assert!(text.is_ascii() && text.contains("###"), "{text}");
    }

    #[test]
    fn a_bar_shows_what_stays_and_what_goes_and_that_there_is_something() {
        let screen = Screen {
            width: None,
            has_blocks: false,
        };
        let drawn = |now, after| bar(&tally(1, 1, now, after), 1_000, 10, screen);
        assert_eq!(drawn(1_000, 300), "###.......");
        assert_eq!(drawn(500, 500), "#####");
        assert_eq!(drawn(100, 1), ".");
        assert_eq!(drawn(3, 3), "|");
        assert_eq!(drawn(0, 0), "");
    }
}
