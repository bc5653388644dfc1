//! Has written down, every few seconds and at the end, what was counted of attempts and
//! events.

use std::time::Duration;

use actix_rt::task::JoinHandle;
use actix_web::web;

use crate::routes::Api;
use crate::store::JournalError;

/// So late the store hears of it, and so much is lost with a process that is killed.
const EVERY: Duration = Duration::from_secs(5);
/// What the last time may take, where the store does not answer.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct StatisticsWriter {
    api: web::Data<Api>,
    task: JoinHandle<()>,
}

impl StatisticsWriter {
    /// Starts on the arbiter that calls.
    pub(super) fn start(api: web::Data<Api>) -> Self {
        let of_task = api.clone();
        let task = actix_rt::spawn(async move {
            loop {
                actix_rt::time::sleep(EVERY).await;
                if let Err(error) = write(&of_task).await {
                    log::warn!("statistics are not written down yet: {error}");
                }
            }
        });
        Self { api, task }
    }

    /// Writes what is left. For when nothing is sent or accepted any more.
    pub(super) async fn finish(self) {
        self.task.abort();
        if !matches!(actix_rt::time::timeout(FINISH_WITHIN, write(&self.api)).await, Ok(Ok(()))) {
            log::warn!("the store does not answer: statistics of the last seconds are not written down");
        }
    }
}

async fn write(api: &Api) -> Result<(), JournalError> {
    api.statistics.write(api.clock.wall(), &api.journal).await
}
