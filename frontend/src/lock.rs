//! One at a time: a lock over all tabs of a browser, a value that several wait for, and a wait.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::{set_timeout, window};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};

/// How long to wait for the lock. A browser may put a tab to sleep that holds it, and nobody shall
/// wait for that.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// A value that comes later, for all who wait for it.
#[derive(Debug)]
pub(crate) struct Later<T>(Rc<RefCell<State<T>>>);

#[derive(Debug)]
enum State<T> {
    Awaited(Vec<Waker>),
    Settled(T),
}

impl<T> Clone for Later<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Clone> Later<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(State::Awaited(Vec::new()))))
    }

    /// Gives the value to all who wait; returns whether it is the first one.
    pub(crate) fn settle(&self, value: T) -> bool {
        let mut state = self.0.borrow_mut();
        let State::Awaited(wakers) = &mut *state else {
            return false;
        };
        let wakers = std::mem::take(wakers);
        *state = State::Settled(value);
        drop(state);
        for waker in wakers {
            waker.wake();
        }
        true
    }
}

impl<T: Clone> Future for Later<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut *self.0.borrow_mut() {
            State::Settled(value) => Poll::Ready(value.clone()),
            State::Awaited(wakers) => {
                wakers.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held(Option<Function>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            // It resolves a promise, which cannot fail.
            drop(release.call0(&JsValue::UNDEFINED));
        }
    }
}

/// Waits for the lock of this name, which one tab of the browser holds at a time. Where a browser
/// has no such locks, as on a page without https, or one is not to be had, it goes on without.
pub(crate) async fn hold(name: &str) -> Held {
    let granted = Later::new();
    if request(name, &granted).is_err() {
        return Held(None);
    }
    let waiting = granted.clone();
    set_timeout(
        move || {
            waiting.settle(None);
        },
        PATIENCE,
    );
    Held(granted.await)
}

/// Waits that long.
pub(crate) async fn pause(time: Duration) {
    let over = Later::new();
    let waiting = over.clone();
    set_timeout(
        move || {
            waiting.settle(());
        },
        time,
    );
    over.await;
}

/// `navigator.locks.request(name, () => promise)`: the lock is held until the promise is resolved.
/// By reflection, since web-sys has it among what may still change only.
fn request(name: &str, granted: &Later<Option<Function>>) -> Result<(), JsValue> {
    let locks = Reflect::get(&window().navigator(), &JsValue::from_str("locks"))?;
    if locks.is_undefined() {
        return Err(locks);
    }
    let request: Function = Reflect::get(&locks, &JsValue::from_str("request"))?.dyn_into()?;
    let waiting = granted.clone();
    let callback = Closure::once_into_js(move |_lock: JsValue| {
        Promise::new(&mut |release, _| {
            if !waiting.settle(Some(release.clone())) {
                // Too late: nobody waits any more.
                drop(release.call0(&JsValue::UNDEFINED));
            }
        })
    });
    let held: Promise = request
        .call2(&locks, &JsValue::from_str(name), &callback)?
        .dyn_into()?;
    let waiting = granted.clone();
    let refused = Closure::once_into_js(move |_reason: JsValue| {
        waiting.settle(None);
    });
    let catch: Function = Reflect::get(&held, &JsValue::from_str("catch"))?.dyn_into()?;
    catch.call1(&held, &refused).map(drop)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_get_the_first_value() {
        let later = Later::new();
        let (mut one, mut other) = (later.clone(), later.clone());
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut one).poll(&mut context).is_pending());

        assert!(later.settle(1));
        assert!(!later.settle(2));

        assert_eq!(Pin::new(&mut one).poll(&mut context), Poll::Ready(1));
        assert_eq!(Pin::new(&mut other).poll(&mut context), Poll::Ready(1));
    }
}
