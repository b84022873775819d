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

/// Uses this much processor time on the calling thread.
fn burn(time: Duration) {
    let begun = machine::thread_cpu_time();
    while machine::thread_cpu_time().saturating_sub(begun) < time {
        std::hint::spin_loop();
    }
}

/// A millisecond of processor time a second, whatever the machine.
fn a_thousandth() -> Limits {
    Limits {
        cpu_percent: Some(0.1 / machine::processors()),
        ..Limits::default()
    }
}

/// How long a worker has to wait now for processor time.
fn debt(worker: &Budget) -> Option<Duration> {
    worker.state().cpu.as_mut().map(|cpu| {
        let ticket = cpu.take(0.0, worker.now());
        cpu.wait(ticket, worker.now())
    })
}

/// What that gives in more time than any test takes.
const MUCH: Duration = Duration::from_millis(200);

#[test]
fn processor_time_of_other_threads_holds_no_worker_back() {
    let budget = Budget::new(a_thousandth());
    let worker = budget.share();
    let _at_work = worker.at_work();
    thread::scope(|scope| scope.spawn(|| burn(MUCH)).join().unwrap());
    // It pays for what it used itself meanwhile, and may give up before that is paid.
    let _ = worker.spend(0, || worker.asked() < 5);
    let theirs = MUCH.as_secs_f64() / 1e-3;
    let debt = debt(&worker);
    assert!(
        debt.is_none_or(|debt| debt.as_secs_f64() < theirs / 2.0),
        "{debt:?}"
    );
}

#[test]
fn a_worker_pays_for_its_own_processor_time_and_so_do_all_others_with_it() {
    let budget = Budget::new(a_thousandth());
    let (worker, other) = (budget.share(), budget.share());
    let at_work = worker.at_work();
    burn(MUCH);
    worker.spend(0, || worker.asked() < 5).unwrap_err();
    burn(MUCH);
    drop(at_work);
    other.spend(0, || other.asked() < 5).unwrap_err();
    let debt = debt(&other);
    let both = (2 * MUCH).as_secs_f64() / 1e-3;
    assert!(
        debt.is_some_and(|debt| debt.as_secs_f64() > both / 2.0),
        "{debt:?} of {both}"
    );
}

#[test]
fn a_thread_that_begins_another_job_does_not_pay_for_the_time_between() {
    let budget = Budget::new(a_thousandth());
    let (first, second) = (budget.share(), budget.share());
    drop(first.at_work());
    burn(MUCH);
    let _at_work = second.at_work();
    second.spend(0, || second.asked() < 200).unwrap();
}
