//! What wakes workers that wait for the budget before their time.
//!
//! In a process of its own, where nobody else rings the bell.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use pcap_slim::budget::{Budget, Limits, bell};
use pcap_slim::pool::Pool;

#[test]
fn new_limits_and_a_stop_wake_those_who_wait() {
    let budget = Arc::new(Budget::new(Limits::default()));
    assert_eq!(bell::rings(), 0);
    budget.set_limits(Limits::default());
    assert_eq!(bell::rings(), 1);
    Pool::new(1, budget).abandon();
    assert!(bell::rings() > 1);
}
