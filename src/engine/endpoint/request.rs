//! What one attempt looks like to its receiver: the very bytes that were
//! posted, the Standard Webhooks headers, and the endpoint's own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::{ClientCertificate, DeliveryId, EventId, Header, Outcome, ResponseHeaders, Timestamp};
use crate::policy::masking::Masks;
use crate::policy::signature::{self, SigningKey};
use crate::store::{EndpointRuntime, ScopeId, StoreError};
use crate::transport::Request;

/// What `User-Agent` says.
const USER_AGENT: &str = concat!("Posthaste/", env!("CARGO_PKG_VERSION"));

/// Everything about an endpoint that goes into its requests, prepared once.
pub(in crate::engine) struct Target {
    /// Whose share of the node's places its attempts count towards, and whose catalog
    /// its events are of.
    pub partner: ScopeId,
    /// Which version of the endpoint's settings it is made of.
    version: u32,
    url: Arc<str>,
    headers: Vec<Header>,
    /// What signs, newest first, and until when.
    secrets: Vec<(SigningKey, Option<Timestamp>)>,
    timeout: Duration,
    /// What an answer may show of these, and nobody is to keep.
    masks: Masks,
    certificate: Option<Arc<ClientCertificate>>,
}

/// What tells one attempt from another.
pub struct AttemptHeaders {
    /// What it carries.
    pub event: EventId,
    /// `None` for a test, which is no delivery.
    pub delivery: Option<DeliveryId>,
    /// Its number among all of the endpoint's; `None` for what was accepted before there
    /// were numbers.
    pub sequence: Option<u64>,
    /// From 1.
    pub number: u32,
    /// When it begins.
    pub at: Timestamp,
}

impl AttemptHeaders {
    /// The headers of its request, but for those that belong to the exchange, with this
    /// signature and with the endpoint's own.
    pub fn list<'a>(
        &self,
        webhook_id: String,
        signature: String,
        own: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> Vec<(Cow<'static, str>, String)> {
        let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(8 + own.len());
        headers.push((Cow::Borrowed("content-type"), "application/json".to_owned()));
        headers.push((Cow::Borrowed("user-agent"), USER_AGENT.to_owned()));
        headers.push((Cow::Borrowed("webhook-id"), webhook_id));
        headers.push((Cow::Borrowed("webhook-timestamp"), self.at.as_seconds().to_string()));
        headers.push((Cow::Borrowed("webhook-signature"), signature));
        if let Some(delivery) = self.delivery {
            headers.push((Cow::Borrowed("posthaste-delivery"), delivery.to_string()));
        }
        if let Some(sequence) = self.sequence {
            headers.push((Cow::Borrowed("posthaste-sequence"), sequence.to_string()));
        }
        headers.push((Cow::Borrowed("posthaste-attempt"), self.number.to_string()));
        headers.extend(own.map(|(name, value)| (Cow::Owned(name.to_owned()), value.to_owned())));
        headers
    }
}

impl Target {
    pub(in crate::engine) fn new(runtime: &EndpointRuntime) -> Result<Self, StoreError> {
        let secrets = runtime
            .secrets
            .iter()
            .map(|stored| {
                let secret = SigningKey::parse(&stored.secret)
                    .map_err(|error| StoreError::Corrupt(format!("an endpoint's secret: {error}")))?;
                Ok((secret, stored.expires_at))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            partner: runtime.scope,
            version: runtime.version,
            url: runtime.settings.url.as_str().into(),
            headers: runtime.settings.headers.clone(),
            secrets,
            timeout: runtime.settings.timeout,
            masks: Masks::new(
                runtime.settings.headers.iter().map(|header| header.value.as_str()),
                runtime.secrets.iter().map(|stored| stored.secret.as_str()),
            ),
            certificate: runtime.settings.client_certificate.clone(),
        })
    }

    /// What came of a request, without the secrets that its answer repeats, and with
    /// which settings it was sent.
    pub(in crate::engine) fn told_of(&self, mut outcome: Outcome) -> Outcome {
        if let Some(masked) = self.masks.over(&outcome.response_body) {
            outcome.response_body = masked.into();
        }
        let exchange = outcome.exchange.get_or_insert_default();
        exchange.settings_version = Some(self.version);
        if let Some(masked) = self.masks.over(exchange.response_headers.as_str().as_bytes()) {
            let text = String::from_utf8_lossy(&masked).into_owned();
            exchange.response_headers = ResponseHeaders::from_text(text);
        }
        outcome
    }

    /// The request of one attempt, signed as of its own time.
    pub(in crate::engine) fn request(&self, attempt: &AttemptHeaders, body: Bytes) -> Request {
        let webhook_id = attempt.event.to_string();
        let seconds = attempt.at.as_seconds();
        let is_live = |expires_at: &Option<Timestamp>| expires_at.is_none_or(|end| attempt.at < end);
        let live = self.secrets.iter().filter(|(_, expires_at)| is_live(expires_at)).map(|(secret, _)| secret);
        let signature = signature::sign(live, &webhook_id, seconds, &body);
        let own = self.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()));
        let headers = attempt.list(webhook_id, signature, own);
        let (url, certificate) = (Arc::clone(&self.url), self.certificate.clone());
        Request { url, headers, body, timeout: self.timeout, certificate }
    }
}
