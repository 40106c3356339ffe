//! What the services do, told to all open pages once a second.
//!
//! One ticker makes one text; every page is sent the same bytes. A page that reads slowly misses
//! ticks and costs nothing: there is no queue per page.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::stream::unfold;
use mesh_serve::Traffic;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{error, state::State};

const TICK: Duration = Duration::from_secs(1);
/// Ticks that a page that opens is told of, if it asks for no fewer.
pub(crate) const REMEMBERED: usize = 60;

/// The ticker's side.
pub(crate) struct Live {
    latest: Mutex<Option<watch::Sender<Bytes>>>,
    history: Mutex<VecDeque<Value>>,
    /// Backfills under way, as they were told last.
    backfills: Mutex<Value>,
}

impl Live {
    pub(crate) fn new() -> Self {
        let latest = Mutex::new(Some(watch::Sender::new(Bytes::new())));
        Self { latest, history: Mutex::default(), backfills: Mutex::new(json!([])) }
    }

    pub(crate) fn close(&self) {
        // The streams end when their sender is gone.
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) async fn tick(&self, state: &State) {
        let mut before: BTreeMap<&str, Traffic> = BTreeMap::new();
        let mut last = Instant::now();
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let seconds = last.elapsed().as_secs_f64().max(0.001);
            last = Instant::now();
            let mut told = Map::new();
            for (name, shown) in &state.projects {
                let Some(service) = &shown.service else { continue };
                let now = service.traffic();
                let since = before.get(name.as_str()).map(|before| now.since(before));
                // The first reading is of all that was before.
                let since = since.unwrap_or_else(|| now.since(&now));
                let rate = |count: u64| {
                    #[expect(clippy::cast_precision_loss, reason = "a count of one second")]
                    let count = count as f64;
                    (count / seconds * 10.0).round() / 10.0
                };
                told.insert(
                    name.clone(),
                    json!({
                        "ready": service.is_ready(),
                        "version": service.version(),
                        "rps": rate(since.answered),
                        "errors": rate(since.failed),
                        "p50": since.percentile(0.5),
                        "p99": since.percentile(0.99),
                        "answered": now.answered,
                        "failed": now.failed,
                    }),
                );
                before.insert(name, now);
            }
            let running = state.backfills.running().await;
            self.publish(Value::Object(told), running.map_err(error::log).ok());
        }
    }

    fn publish(&self, tick: Value, running: Option<Value>) {
        let mut told = event("tick", &tick);
        let mut known = self.backfills.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running.filter(|running| *running != *known) {
            told = [told, event("backfills", &running)].concat().into();
            *known = running;
        }
        drop(known);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push_back(tick);
        if history.len() > REMEMBERED {
            history.pop_front();
        }
        drop(history);
        if let Some(latest) = &*self.latest.lock().unwrap_or_else(PoisonError::into_inner) {
            latest.send_replace(told);
        }
    }

    fn begin(&self, ticks: usize) -> (Bytes, Option<watch::Receiver<Bytes>>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = history.len().saturating_sub(ticks);
        let history: Vec<Value> = history.iter().skip(skipped).cloned().collect();
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let backfills = self.backfills.lock().unwrap_or_else(PoisonError::into_inner);
        let told = [event("history", &json!(history)), event("backfills", &backfills)].concat();
        (told.into(), latest.as_ref().map(watch::Sender::subscribe))
    }
}

/// The stream of one page: so many ticks of what was, then every tick as it comes.
pub(crate) fn stream(live: &Live, ticks: usize) -> Response<Body> {
    let (first, latest) = live.begin(ticks);
    let events = unfold((Some(first), latest), async |(first, latest)| {
        let mut latest = latest?;
        if let Some(first) = first {
            latest.mark_unchanged();
            return Some((Ok::<_, Infallible>(first), (None, Some(latest))));
        }
        latest.changed().await.ok()?;
        let event = latest.borrow_and_update().clone();
        Some((Ok(event), (None, Some(latest))))
    });
    let mut reply = Response::new(Body::from_stream(events));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that waits for more would make a second into many.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    reply
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_wants_to_know_less_of_what_was_is_told_less() {
        let live = Live::new();
        for at in 0..=REMEMBERED {
            live.publish(json!({ "at": at }), None);
        }
        for (asked, told) in [(0, 0), (1, 1), (7, 7), (1_000, REMEMBERED)] {
            let first = live.begin(asked).0;
            let text = String::from_utf8_lossy(&first);
            assert_eq!(text.matches("\"at\"").count(), told, "{asked}: {text}");
            assert!(told == 0 || text.contains(&format!("\"at\":{REMEMBERED}}}]")), "{text}");
        }
    }
}
