//! An event as the journal takes it: by systemd's native protocol, each field by itself, through `tracing_journald`.
//!
//! Fields keep their names, in capitals and without a prefix: they are a contract with whoever searches the journal.
//! `tracing_journald` sends each value with its length before it, so none can add a field; [`Printable`] sees to it that
//! none breaks a line of `journalctl` either. Values are text there: a name that is no UTF-8 comes in printable form.

use std::fmt::{Debug, Write as _};
use std::io;

use tracing::field::{Field, Value, Visit};
use tracing::{Event, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Escaping;

/// The most fields that an event may have; further ones are left out.
const MOST_FIELDS: usize = 16;

/// Sends events to the journal.
///
/// # Errors
/// Nobody listens on the journal's socket, or this process may not write to it.
pub(super) fn layer<S>() -> io::Result<impl Layer<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let journal = tracing_journald::layer()?
        .with_field_prefix(None)
        .with_priority_mappings(priorities());
    Ok(Printable(journal))
}

/// Info is what an operator reads every day (6), debug what he asks for (7); the default has them one step higher.
fn priorities() -> PriorityMappings {
    PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    }
}

/// Passes events on with the control characters in their values spelled out.
struct Printable<L>(L);

impl<S, L> Layer<S> for Printable<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let values: [Option<(&Field, &dyn Value)>; MOST_FIELDS] = std::array::from_fn(|index| {
            texts
                .0
                .get(index)
                .map(|(field, text)| (field, text as &dyn Value))
        });
        // Places that are not needed name any field and no value, which is the way to leave a field out.
        let Some(any) = event.metadata().fields().iter().next() else {
            return;
        };
        let values = values.map(|value| value.map_or((&any, None), |(field, text)| (field, Some(text))));
        let values = event.metadata().fields().value_set(&values);
        self.0.on_event(&Event::new(event.metadata(), &values), context);
    }
}

/// Every field with its value as text.
#[derive(Default)]
struct Texts(Vec<(Field, String)>);

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A `Debug` that fails leaves its value cut short.
        let _ = write!(Escaping(&mut text), "{value:?}");
        self.0.push((field.clone(), text));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Stands for the journal: remembers each field that arrives.
    #[derive(Clone, Default)]
    struct Arrived(Arc<Mutex<Vec<(&'static str, String)>>>);

    impl<S: Subscriber> Layer<S> for Arrived {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Strings<'a>(&'a Arrived);
            impl Visit for Strings<'_> {
                fn record_str(&mut self, field: &Field, value: &str) {
                    self.0.0.lock().unwrap().push((field.name(), value.to_owned()));
                }
                fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
                    panic!("{field} is no string");
                }
            }
            event.record(&mut Strings(self));
        }
    }

    fn arrived(tell: impl FnOnce()) -> Vec<(&'static str, String)> {
        let arrived = Arrived::default();
        let subscriber = tracing_subscriber::registry().with(Printable(arrived.clone()));
        tracing::subscriber::with_default(subscriber, tell);
        arrived.0.lock().unwrap().clone()
    }

    #[test]
    fn every_field_arrives_as_text_and_one_without_value_does_not() {
        let fields = arrived(|| {
            tracing::info!(
                message_id = "0",
                pcap_reason = None::<&str>,
                pcap_packets = 7_u64,
                "slimmed {}",
                "a.pcap"
            );
        });
        let text = |name, value: &str| (name, value.to_owned());
        assert_eq!(
            fields,
            [
                text("message", "slimmed a.pcap"),
                text("message_id", "0"),
                text("pcap_packets", "7")
            ]
        );
    }

    #[test]
    fn no_value_brings_a_line_or_a_field_of_its_own() {
        let hostile = "a\nPRIORITY=0\nMESSAGE=all is lost\u{1b}[2J\0";
        let fields = arrived(|| tracing::warn!(pcap_file = hostile, "{hostile}"));
        let expected = r"a\nPRIORITY=0\nMESSAGE=all is lost\u{1b}[2J\u{0}";
        assert_eq!(
            fields,
            [
                ("message", expected.to_owned()),
                ("pcap_file", expected.to_owned())
            ]
        );
    }

    #[test]
    fn an_event_with_more_fields_than_there_is_room_for_is_told_still() {
        let fields = arrived(|| {
            tracing::info!(
                a = 1,
                b = 2,
                c = 3,
                d = 4,
                e = 5,
                f = 6,
                g = 7,
                h = 8,
                i = 9,
                j = 10,
                k = 11,
                l = 12,
                m = 13,
                n = 14,
                o = 15,
                p = 16,
                "many"
            );
        });
        assert_eq!(fields.len(), MOST_FIELDS);
        assert_eq!(fields.first(), Some(&("message", "many".to_owned())));
    }
}
