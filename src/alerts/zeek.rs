//! Zeek's logs as it writes them by default: columns that a header names.
//!
//! `#separator` says what is between the columns, `#fields` what they are called; any log that has `id.orig_h` and its
//! like names flows, notice.log among them (Zeek's manual, "Zeek TSV Format Logs"). `-` stands for a value that is unset.

use super::line::Line;

/// What stands in a column that is unset. Zeek can be told otherwise; then it is an address that cannot be read.
const UNSET: &[u8] = b"-";

/// The byte between columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Separator(u8);

impl Default for Separator {
    fn default() -> Self {
        Self(b'\t')
    }
}

impl Separator {
    /// The separator in `separator \x09`, the only line in which a space stands before the value.
    pub(super) fn of(directive: &[u8]) -> Option<Self> {
        let value = directive.strip_prefix(b"separator ")?.trim_ascii_end();
        match value {
            [byte] => Some(Self(*byte)),
            [b'\\', b'x', digits @ ..] => {
                let digits = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 16).ok().map(Self)
            }
            _ => None,
        }
    }
}

/// In which columns the five-tuple stands.
#[derive(Debug, Clone)]
pub(super) struct Header {
    separator: Separator,
    /// The originator's address and port, the responder's, and the protocol.
    columns: [Option<usize>; 5],
}

/// What those columns are called.
const NAMES: [&[u8]; 5] = [b"id.orig_h", b"id.orig_p", b"id.resp_h", b"id.resp_p", b"proto"];

impl Header {
    /// The header that `fields` and names behind it are.
    pub(super) fn of(directive: &[u8], separator: Separator) -> Option<Self> {
        let names = directive.strip_prefix(b"fields")?;
        let (first, names) = names.split_first()?;
        let names: Vec<&[u8]> = names.split(|byte| *byte == separator.0).collect();
        let columns = NAMES.map(|wanted| names.iter().position(|name| *name == wanted));
        (*first == separator.0).then_some(Self { separator, columns })
    }

    /// The flow that a row names.
    pub(super) fn row(&self, line: &[u8]) -> Line {
        let [orig_h, orig_p, resp_h, resp_p, protocol] = self.columns.map(|column| self.value(line, column?));
        let ports = [orig_p, resp_p].map(|port| port.map(str::parse));
        let [orig_p, resp_p] = match ports {
            [Some(Err(_)), _] | [_, Some(Err(_))] => return Line::Unread,
            [one, other] => [one, other].map(|port| port.and_then(Result::ok)),
        };
        let has_columns = line.contains(&self.separator.0);
        match Line::of(protocol, [(orig_h, orig_p), (resp_h, resp_p)]) {
            // Less than a row of that log: torn, or nonsense.
            Line::NoFlow if !has_columns => Line::Unread,
            line => line,
        }
    }

    /// What stands in a column, unless it is unset. What is no text stands for itself: it is no address.
    fn value<'a>(&self, line: &'a [u8], column: usize) -> Option<&'a str> {
        let value = line.split(|byte| *byte == self.separator.0).nth(column)?;
        (value != UNSET).then(|| std::str::from_utf8(value).unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::line::Lines;
    use super::*;

    const HEADER: &str = "#separator \\x09\n#set_separator\t,\n#unset_field\t-\n#path\tnotice\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tnote\n\
        #types\ttime\tstring\taddr\tport\taddr\tport\tenum\tenum";

    fn rows(header: &str, rows: &[&str]) -> Vec<Line> {
        let mut lines = Lines::default();
        for line in header.lines() {
            assert_eq!(lines.take(line.as_bytes()), Line::NoFlow, "{line}");
        }
        rows.iter().map(|row| lines.take(row.as_bytes())).collect()
    }

    fn flow(text: &str) -> Line {
        Line::Flows(text.parse().unwrap(), None)
    }

    #[test]
    fn a_notice_names_the_connection_that_it_is_about() {
        let named = rows(
            HEADER,
            &[
                "1.5\tC1\t192.0.2.1\t40000\t198.51.100.2\t443\ttcp\tSSL::Invalid_Server_Cert",
                "1.5\t-\t-\t-\t-\t-\t-\tScan::Port_Scan",
                "1.5\tC2\t192.0.2.1\t8\t198.51.100.2\t0\ticmp\tX",
                "#close\t2026-11-21-10-00-00",
            ],
        );
        let expected = [
            flow("tcp 192.0.2.1 40000 198.51.100.2 443"),
            Line::NoFlow,
            Line::NoFlow,
            Line::NoFlow,
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn another_separator_and_another_order_of_columns() {
        let header = "#separator ,\n#fields,proto,id.resp_p,id.resp_h,id.orig_p,id.orig_h";
        assert_eq!(
            rows(header, &["udp,53,198.51.100.2,40000,192.0.2.1"]),
            [flow("udp 192.0.2.1 40000 198.51.100.2 53")]
        );
    }

    #[test]
    fn a_log_that_begins_anew_is_read_by_its_new_header() {
        let mut lines = Lines::default();
        for line in HEADER.lines() {
            lines.take(line.as_bytes());
        }
        lines.take(b"#fields\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto");
        assert_eq!(
            lines.take(b"192.0.2.1\t1\t192.0.2.2\t2\tudp"),
            flow("udp 192.0.2.1 1 192.0.2.2 2")
        );
    }

    #[test]
    fn a_log_without_a_protocol_names_the_flows_of_both() {
        let header = "#fields\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p";
        let tcp = "tcp 192.0.2.1 1 192.0.2.2 2".parse().unwrap();
        let udp = "udp 192.0.2.1 1 192.0.2.2 2".parse().unwrap();
        assert_eq!(
            rows(header, &["192.0.2.1\t1\t192.0.2.2\t2"]),
            [Line::Flows(tcp, Some(udp))]
        );
    }

    #[test]
    fn rows_that_cannot_be_understood_are_unread() {
        let named = rows(
            HEADER,
            &[
                "1.5\tC1\t192.0.2.1\t70000\t198.51.100.2\t443\ttcp\tX",
                "1.5\tC1\t192.0.2\t40000\t198.51.100.2\t443\ttcp\tX",
                "nonsense",
            ],
        );
        assert_eq!(named, [Line::Unread; 3]);
    }
}
