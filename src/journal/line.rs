//! An event as people read it: one line, `LEVEL message`.
//!
//! Apart from `native` since it is for a terminal, a file, or a supervisor other than systemd. The time is left out
//! where the journal adds its own, colour is used on a terminal only. Fields that the message tells already are not
//! told twice: of those for the journal only the whole path is shown, and only where the message lacks it.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Escaping;

/// How an event becomes a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) time: bool,
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.time {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let level = *event.metadata().level();
        if self.colour {
            write!(writer, "\x1b[{}m{level:>5}\x1b[0m", colour_of(level))?;
        } else {
            write!(writer, "{level:>5}")?;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(writer, " {}{}", fields.message, fields.others)?;
        if let Some(path) = fields.path.filter(|path| !fields.message.contains(path)) {
            write!(writer, " ({path})")?;
        }
        writeln!(writer)
    }
}

/// The message as it is, the path, and every field that is not for the journal as ` name=value`; all escaped.
#[derive(Default)]
struct Fields {
    message: String,
    path: Option<String>,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let into = match field.name() {
            "message" => &mut self.message,
            "pcap_file" => self.path.insert(String::new()),
            "message_id" => return,
            name if name.starts_with("pcap_") => return,
            name => {
                let _ = write!(self.others, " {name}=");
                &mut self.others
            }
        };
        // A `Debug` that fails leaves its value cut short, and the rest of the line is told.
        let _ = write!(Escaping(into), "{value:?}");
    }
}

fn colour_of(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    fn line(line: Line, tell: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Shared::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(line)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, tell);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const PLAIN: Line = Line {
        time: false,
        colour: false,
    };

    #[test]
    fn an_event_is_its_level_its_message_and_its_fields() {
        let written = line(PLAIN, || {
            tracing::warn!(packets = 3, reason = "torn", "a.pcap: {}", "kept");
        });
        assert_eq!(written, " WARN a.pcap: kept packets=3 reason=torn\n");
    }

    #[test]
    fn a_hostile_name_neither_breaks_the_line_nor_reaches_the_terminal() {
        let written = line(PLAIN, || {
            tracing::info!("x\u{1b}[2J\nERROR all is lost\u{9b}.pcap");
        });
        assert_eq!(written, " INFO x\\u{1b}[2J\\nERROR all is lost\\u{9b}.pcap\n");
    }

    #[test]
    fn the_time_comes_first_and_colour_dresses_the_level_only() {
        let written = line(
            Line {
                time: true,
                colour: true,
            },
            || tracing::error!("gone"),
        );
        let (time, rest) = written.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        assert_eq!(rest, "\u{1b}[31mERROR\u{1b}[0m gone\n");
    }

    #[test]
    fn fields_for_the_journal_are_left_out_and_a_path_is_told_once() {
        let written = line(PLAIN, || {
            tracing::info!(
                message_id = "0",
                pcap_file = "/d/a.pcap",
                pcap_packets = 7,
                "slimmed a.pcap"
            );
            tracing::error!(pcap_file = "/d", pcap_reason = "gone", "/d: cannot be read");
        });
        assert_eq!(
            written,
            " INFO slimmed a.pcap (/d/a.pcap)\nERROR /d: cannot be read\n"
        );
    }
}
