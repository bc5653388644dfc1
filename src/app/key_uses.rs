//! Has written down, once a minute and at the end, when keys were last used.

use std::time::Duration;

use actix_rt::task::JoinHandle;
use actix_web::web;

use crate::routes::Api;

/// So late the store hears of it, and so much is lost with a process that is killed.
const EVERY: Duration = Duration::from_secs(60);
/// What the last time may take, where the store does not answer.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct KeyUses {
    api: web::Data<Api>,
    task: JoinHandle<()>,
}

impl KeyUses {
    /// Starts on the arbiter that calls.
    pub(super) fn start(api: web::Data<Api>) -> Self {
        let of_task = api.clone();
        let task = actix_rt::spawn(async move {
            loop {
                actix_rt::time::sleep(EVERY).await;
                write(&of_task).await;
            }
        });
        Self { api, task }
    }

    /// Writes what is left. For when nobody uses any key any more.
    pub(super) async fn finish(self) {
        self.task.abort();
        if actix_rt::time::timeout(FINISH_WITHIN, write(&self.api)).await.is_err() {
            log::warn!("the store does not answer: when keys were used in the last minute is not written down");
        }
    }
}

async fn write(api: &Api) {
    if let Err(error) = api.auth.write_uses(&api.journal).await {
        log::warn!("when keys were last used is not written down yet: {error}");
    }
}
