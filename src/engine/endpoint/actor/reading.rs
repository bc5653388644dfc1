//! How the actor reads the store: off its thread, all that one step asked for in one
//! visit.

use std::sync::Arc;

use super::{EndpointActor, Report};
use crate::engine::endpoint::pages::{PageRead, Reads};
use crate::engine::endpoint::state::Input;
use crate::store;

impl EndpointActor {
    /// Reads what one step asked for in one visit to the store.
    pub(super) fn read(&mut self, reads: Reads) {
        if !reads.settings && reads.pages.is_empty() {
            return;
        }
        let (endpoint, now, bodies) = (self.endpoint, self.engine.clock.wall(), self.engine.bodies.clone());
        let (store, reports) = (Arc::clone(&self.engine.store), self.inbox.outbox());
        let ownership = self.engine.ownership.clone();
        self.begin(async move {
            let Reads { settings, pages } = reads;
            let wanted = pages.clone();
            let answer = store::blocking(&store, move |store| {
                let runtime = settings.then(|| store.endpoint_runtime(endpoint, now));
                let read: Vec<_> = wanted.into_iter().map(|page| page.read(endpoint, store, &bodies)).collect();
                // What was accepted by settings of which nobody told yet must not go
                // out by older ones.
                let may_be_news = !read.is_empty() && ownership.may_be_behind(store)?;
                Ok((runtime, read, may_be_news))
            })
            .await;
            let (runtime, read, may_be_news) = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    (settings.then(|| Err(error.clone())), pages.iter().map(|_| Err(error.clone())).collect(), false)
                }
            };
            if let Some(runtime) = runtime {
                reports.send(Report::Runtime(Box::new(runtime)));
            }
            if may_be_news {
                reports.send(Report::Input(Box::new(Input::Changed)));
            }
            for (PageRead { lane, limit, .. }, read) in pages.into_iter().zip(read) {
                reports.send(Report::Input(Box::new(match read {
                    Ok((due, payloads)) => Input::Page { lane, limit, due, payloads },
                    Err(error) => {
                        log::warn!("{endpoint}: cannot read its deliveries: {error}");
                        Input::PageFailed(lane)
                    }
                })));
            }
            None
        });
    }
}
