//! Whom we believe to be who they say: TLS 1.2 and 1.3 with ring, against the
//! platform's root certificates.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// The client's side of TLS, shared by all transports, and with it the
/// sessions that make reconnecting cheap.
#[derive(Clone)]
pub struct TlsClient(Result<Arc<ClientConfig>, Arc<str>>);

impl TlsClient {
    /// Trusts what the platform trusts. On a machine without root certificates
    /// nothing but https fails, and each attempt says why.
    pub fn from_platform() -> Self {
        match provider_defaults(BuilderVerifierExt::with_platform_verifier) {
            Ok(config) => Self(Ok(config)),
            Err(error) => {
                let reason = format!(
                    "this node has no root certificates to check https with ({error}): \
                     install the system's CA certificates and restart it"
                );
                log::warn!("{reason}");
                Self::unavailable(reason)
            }
        }
    }

    /// Trusts these certificates alone.
    pub fn from_roots(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root)?;
        }
        provider_defaults(|builder| Ok(builder.with_root_certificates(store))).map(|config| Self(Ok(config)))
    }

    /// Fails every https attempt with this sentence.
    pub fn unavailable(reason: impl Into<Arc<str>>) -> Self {
        Self(Err(reason.into()))
    }

    pub(super) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.0.as_ref().ok().map(Arc::clone)
    }

    pub(super) fn unavailable_because(&self) -> Option<&str> {
        self.0.as_ref().err().map(|reason| &**reason)
    }
}

type Builder<State> = ConfigBuilder<ClientConfig, State>;

fn provider_defaults(
    trust: impl FnOnce(Builder<rustls::WantsVerifier>) -> Result<Builder<WantsClientCert>, rustls::Error>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = trust(builder)?.with_no_client_auth();
    // HTTP/2 is not offered: awc goes on using a dead HTTP/2 connection until
    // its age ends it, and every attempt in that minute would fail.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
