//! JSON lines: the alerts of Suricata's eve.json, and Zeek's logs where they are written as JSON.
//!
//! Of eve.json only `event_type` "alert" counts: `src_ip`, `src_port`, `dest_ip`, `dest_port` and `proto` (Suricata's user
//! guide, "Eve JSON Format"). Zeek's have a connection in `id.orig_h` and its like, and `ts` always (Zeek's manual, "JSON
//! Logs"); those that are about no connection name no flow. What else is in a line is passed over unread.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::line::Line;

/// What is looked for in a line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "event_type")]
    kind: Option<String>,
    src_ip: Option<String>,
    src_port: Option<u16>,
    dest_ip: Option<String>,
    dest_port: Option<u16>,
    proto: Option<String>,
    ts: Option<IgnoredAny>,
    #[serde(rename = "id.orig_h")]
    orig_h: Option<String>,
    #[serde(rename = "id.orig_p")]
    orig_p: Option<u16>,
    #[serde(rename = "id.resp_h")]
    resp_h: Option<String>,
    #[serde(rename = "id.resp_p")]
    resp_p: Option<u16>,
}

/// The flow that a JSON object names.
pub(super) fn line(line: &[u8]) -> Line {
    let Ok(event) = serde_json::from_slice::<Event>(line) else {
        return Line::Unread;
    };
    let protocol = event.proto.as_deref();
    match event.kind.as_deref() {
        Some("alert") => Line::of(
            protocol,
            [
                (event.src_ip.as_deref(), event.src_port),
                (event.dest_ip.as_deref(), event.dest_port),
            ],
        ),
        Some(_) => Line::NoFlow,
        None if event.ts.is_some() => Line::of(
            protocol,
            [
                (event.orig_h.as_deref(), event.orig_p),
                (event.resp_h.as_deref(), event.resp_p),
            ],
        ),
        None => Line::Unread,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn flow(text: &str) -> Line {
        Line::Flows(text.parse().unwrap(), None)
    }

    #[test]
    fn an_alert_names_its_flow_and_no_other_event_does() {
        let event =
            r#"{"timestamp":"2026-11-21T10:00:00.000000+0000","flow_id":1,"event_type":"alert","vlan":[7],
            "src_ip":"192.0.2.1","src_port":40000,"dest_ip":"198.51.100.2","dest_port":443,"proto":"TCP",
            "alert":{"action":"allowed","signature":"a \u00e9 \"b\"","src_ip":7}}"#
                .replace('\n', "");
        assert_eq!(
            line(event.as_bytes()),
            flow("tcp 192.0.2.1 40000 198.51.100.2 443")
        );
        assert_eq!(
            line(
                event
                    .replace("\"alert\",\"vlan\"", "\"flow\",\"vlan\"")
                    .as_bytes()
            ),
            Line::NoFlow
        );
    }

    #[test]
    fn addresses_of_ipv6_are_written_out_in_full() {
        let event =
            br#"{"event_type":"alert","src_ip":"2001:0db8:0000:0000:0000:0000:0000:0001","src_port":53,
            "dest_ip":"2001:0db8:0000:0000:0000:0000:0000:0002","dest_port":5353,"proto":"UDP"}"#;
        assert_eq!(line(event), flow("udp 2001:db8::1 53 2001:db8::2 5353"));
    }

    #[test]
    fn an_alert_on_icmp_names_no_flow() {
        let event = br#"{"event_type":"alert","src_ip":"192.0.2.1","dest_ip":"192.0.2.2","proto":"ICMP","icmp_type":8}"#;
        assert_eq!(line(event), Line::NoFlow);
    }

    #[test]
    fn a_zeek_notice_names_the_connection_that_it_is_about() {
        let notice =
            br#"{"ts":1.5,"uid":"C1","id.orig_h":"192.0.2.1","id.orig_p":40000,"id.resp_h":"198.51.100.2",
            "id.resp_p":443,"proto":"tcp","note":"SSL::Invalid_Server_Cert","msg":"x"}"#;
        assert_eq!(line(notice), flow("tcp 192.0.2.1 40000 198.51.100.2 443"));
        assert_eq!(
            line(br#"{"ts":1.5,"note":"Scan::Port_Scan","src":"192.0.2.1"}"#),
            Line::NoFlow
        );
    }

    #[test]
    fn what_is_no_event_is_unread() {
        for text in [
            "{",
            "{}",
            r#"{"event_type":"alert""#,
            r#"{"event_type":"alert","src_ip":"a.example","dest_ip":"192.0.2.1","src_port":1,"dest_port":2,"proto":"TCP"}"#,
            r#"{"event_type":"alert","src_port":70000}"#,
            r#"{"event_type":"alert","src_port":"443"}"#,
            r#"{"message":"hello"}"#,
        ] {
            assert_eq!(line(text.as_bytes()), Line::Unread, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm_in_what_is_passed_over() {
        let event = b"{\"event_type\":\"alert\",\"payload_printable\":\"\xff\xfe\",\"src_ip\":\"192.0.2.1\",\"src_port\":1,\
            \"dest_ip\":\"192.0.2.2\",\"dest_port\":2,\"proto\":\"UDP\"}";
        assert_eq!(line(event), flow("udp 192.0.2.1 1 192.0.2.2 2"));
    }
}
