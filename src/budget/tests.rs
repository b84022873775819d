//! The shared budget with real waiting: what is held back, by what, and what changes for those who wait.
//!
//! Apart from the arithmetic, which `governor` tests to the last digit; here only what must happen at all, so that a
//! busy machine cannot fail a test.

use std::thread;

use super::*;

fn io_limit(bytes_per_second: u64) -> Limits {
    Limits {
        io_bytes_per_second: Some(bytes_per_second),
        ..Limits::default()
    }
}

#[test]
fn without_limits_nobody_waits() {
    let budget = Budget::new(Limits::default());
    budget.spend(u64::MAX, || true).unwrap();
    assert_eq!((budget.throttled(), budget.asked()), (Throttled::default(), 1));
}

#[test]
fn who_waits_goes_on_as_soon_as_the_limit_is_lifted_or_raised() {
    for lifted in [Limits::default(), io_limit(u64::MAX)] {
        let budget = Budget::new(io_limit(1));
        let worker = budget.share();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| worker.spend(1 << 40, || true));
            while worker.asked() < 3 {
                thread::yield_now();
            }
            budget.set_limits(lifted);
            waiting.join().unwrap().unwrap();
        });
        let throttled = budget.throttled();
        assert!(throttled.io > Duration::ZERO, "{throttled:?}");
        assert_eq!((throttled.cpu, throttled.pressure), Default::default());
    }
}

#[test]
fn each_worker_is_counted_by_itself_and_all_are_held_back_together() {
    let budget = Budget::new(io_limit(1_000_000));
    let (one, other) = (budget.share(), budget.share());
    one.spend(100_000, || true).unwrap();
    assert_eq!(other.asked(), 0);
    let mut chances = 0;
    one.spend(1 << 40, || {
        chances += 1;
        chances < 2
    })
    .unwrap_err();
    other.spend(1, || other.asked() < 2).unwrap_err();
}

#[test]
fn weather_is_known_from_the_second_look_on() {
    let budget = Budget::new(Limits::default());
    assert_eq!(budget.weather(), Weather::default());
    thread::sleep(Duration::from_millis(100));
    let weather = budget.weather();
    assert!(
        weather.load.is_some_and(|load| (0.0..=100.0).contains(&load)),
        "{weather:?}"
    );
}

#[test]
fn a_pause_by_pressure_ends_where_pressure_is_no_reason_any_more() {
    let budget = Budget::new(Limits {
        pressure_above: Some(10.0),
        ..Limits::default()
    });
    budget.state().paused = true;
    budget.set_limits(Limits::default());
    budget.spend(1, || true).unwrap();
}
