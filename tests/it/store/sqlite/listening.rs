//! Hears every statement that a thread's connections run, and can let
//! something happen between two of them.

use std::cell::RefCell;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

thread_local! {
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    static MEANWHILE: RefCell<Option<Meanwhile>> = const { RefCell::new(None) };
}

/// What is to happen before the SELECT of this number, counted down.
struct Meanwhile {
    selects_before: usize,
    happening: Box<dyn FnOnce()>,
}

/// Has every connection that is made from now on listened to.
pub fn begin() {
    set_default_instrumentation(|| Some(Box::new(Ear))).expect("no holder of that lock panics");
}

/// The statements of a call, without what was bound to them.
pub fn caught<T>(call: impl FnOnce() -> T) -> Vec<String> {
    HEARD.set(Some(Vec::new()));
    call();
    HEARD.take().expect("it was listening")
}

/// Makes a call, and lets something happen before its SELECT of this number,
/// from 0. `None` when it has fewer.
pub fn meanwhile<T>(select: usize, happening: impl FnOnce() + 'static, call: impl FnOnce() -> T) -> Option<T> {
    MEANWHILE.set(Some(Meanwhile { selects_before: select, happening: Box::new(happening) }));
    let answer = call();
    MEANWHILE.take().is_none().then_some(answer)
}

struct Ear;

impl Instrumentation for Ear {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::StartQuery { query, .. } = event else { return };
        let text = query.to_string();
        let text = text.split("-- binds:").next().unwrap_or_default().trim();
        HEARD.with_borrow_mut(|heard| {
            if let Some(heard) = heard {
                heard.push(text.to_owned());
            }
        });
        if !text.starts_with("SELECT") && !text.starts_with("WITH") {
            return;
        }
        // Taken out first: what happens may run statements of its own.
        let happens = MEANWHILE.with_borrow_mut(|meanwhile| match meanwhile {
            Some(Meanwhile { selects_before: 0, .. }) => meanwhile.take(),
            Some(waiting) => {
                waiting.selects_before -= 1;
                None
            }
            None => None,
        });
        if let Some(meanwhile) = happens {
            (meanwhile.happening)();
        }
    }
}
