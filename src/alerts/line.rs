//! One line of a file that names flows: which form it has, and which flows it names.
//!
//! The form is told line by line, so that nobody has to say what a file is, and a log that begins anew, with another
//! header, is read on: `{` begins a JSON object, `#` a comment or a header of Zeek's, and what is neither is a row of the
//! Zeek log whose header came before, else a five-tuple. A line that names no flow by what it is (an event that is no
//! alert, an alert on ICMP) is not worth a word; one that cannot be understood is told.

use core::net::IpAddr;

use super::{json, zeek};
use crate::slim::dissect::Transport;
use crate::slim::policy::keep::FiveTuple;

/// What a line comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// A flow; two of them where the line does not say the protocol.
    Flows(FiveTuple, Option<FiveTuple>),
    /// It names no flow, and is not meant to.
    NoFlow,
    /// It has none of the forms.
    Unread,
}

impl Line {
    /// The flow between two ends, as a log names it. What is missing is `None`.
    pub(super) fn of(protocol: Option<&str>, ends: [(Option<&str>, Option<u16>); 2]) -> Self {
        let [(Some(one), one_port), (Some(other), other_port)] = ends else {
            return Self::NoFlow;
        };
        let (Ok(one), Ok(other)) = (one.parse::<IpAddr>(), other.parse::<IpAddr>()) else {
            return Self::Unread;
        };
        let flow = |transport| match (transport, one_port, other_port) {
            (Transport::Esp, ..) => Some(FiveTuple::new(transport, (one, 0), (other, 0))),
            (_, Some(one_port), Some(other_port)) => {
                Some(FiveTuple::new(transport, (one, one_port), (other, other_port)))
            }
            // An alert on a fragment, say, and fragments are never cut.
            _ => None,
        };
        let flows = match protocol.map(Transport::named) {
            Some(Some(transport)) => flow(transport).map(|flow| (flow, None)),
            // ICMP, SCTP: nothing of it is ever cut.
            Some(None) => None,
            None => flow(Transport::Tcp).map(|tcp| (tcp, flow(Transport::Udp))),
        };
        flows.map_or(Self::NoFlow, |(flow, other)| Self::Flows(flow, other))
    }
}

/// What lines before said about those that follow.
#[derive(Debug, Default)]
pub(super) struct Lines {
    header: Option<zeek::Header>,
    separator: zeek::Separator,
}

impl Lines {
    /// The next line, without its line feed.
    pub(super) fn take(&mut self, line: &[u8]) -> Line {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.trim_ascii_start() {
            [] => Line::NoFlow,
            [b'{', ..] => json::line(line),
            [b'#', directive @ ..] => {
                if let Some(separator) = zeek::Separator::of(directive) {
                    self.separator = separator;
                } else if let Some(header) = zeek::Header::of(directive, self.separator) {
                    self.header = Some(header);
                }
                Line::NoFlow
            }
            _ => match &self.header {
                Some(header) => header.row(line),
                None => five_tuple(line),
            },
        }
    }
}

fn five_tuple(line: &[u8]) -> Line {
    let flow = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    flow.map_or(Line::Unread, |flow| Line::Flows(flow, None))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn line(text: &str) -> Line {
        Lines::default().take(text.as_bytes())
    }

    fn flow(text: &str) -> Line {
        Line::Flows(text.parse().unwrap(), None)
    }

    #[test]
    fn a_five_tuple_a_comment_and_an_empty_line() {
        let text = "tcp 192.0.2.1 40000 198.51.100.2 443";
        assert_eq!(line(text), flow(text));
        assert_eq!(line(&format!("{text}\r")), flow(text));
        assert_eq!(line("# the scanner"), Line::NoFlow);
        assert_eq!(line("  \t"), Line::NoFlow);
        assert_eq!(line("tcp 192.0.2.1 40000 198.51.100.2"), Line::Unread);
        assert_eq!(Lines::default().take(b"\xff\xfe"), Line::Unread);
    }

    #[test]
    fn a_protocol_that_is_never_cut_names_no_flow_and_an_unknown_one_both() {
        let ends = [(Some("192.0.2.1"), Some(8)), (Some("192.0.2.2"), Some(0))];
        assert_eq!(Line::of(Some("ICMP"), ends), Line::NoFlow);
        assert_eq!(
            Line::of(None, ends),
            Line::Flows(
                "tcp 192.0.2.1 8 192.0.2.2 0".parse().unwrap(),
                Some("udp 192.0.2.1 8 192.0.2.2 0".parse().unwrap())
            )
        );
    }

    #[test]
    fn missing_ports_name_no_flow_save_where_there_are_none() {
        let ends = [(Some("192.0.2.1"), None), (Some("192.0.2.2"), None)];
        assert_eq!(Line::of(Some("TCP"), ends), Line::NoFlow);
        assert_eq!(Line::of(Some("ESP"), ends), flow("esp 192.0.2.1 192.0.2.2"));
    }
}
