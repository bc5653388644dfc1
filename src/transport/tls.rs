//! Whom we believe to be who they say, and who we say we are: TLS 1.2 and 1.3
//! with ring, against the platform's root certificates or an operator's own,
//! with an endpoint's certificate where it has one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::domain::ClientCertificate;

/// Sessions that are kept to reconnect cheaply under one endpoint's certificate.
const SESSIONS_OF_ONE_CERTIFICATE: usize = 16;

/// The client's side of TLS, shared by all transports, and with it the
/// sessions that make reconnecting cheap.
#[derive(Clone)]
pub struct TlsClient(Result<Arc<ClientConfig>, Arc<str>>);

/// Why a file of root certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It cannot be read.
    #[error("cannot read the root certificates of `ca_file`, {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no PEM.
    #[error("`ca_file`, {}, is not PEM: {source}", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error("`ca_file`, {}, has no `-----BEGIN CERTIFICATE-----` in it: nobody would be trusted", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// One of its certificates is none.
    #[error("certificate {number} of `ca_file`, {}, cannot be a root: {source}", .path.display())]
    NoRoot {
        /// The file.
        path: PathBuf,
        /// Which, from 1.
        number: usize,
        /// What rustls says.
        source: rustls::Error,
    },
}

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

    /// Trusts the certificates of this file, which is PEM, instead of the platform's.
    /// It is read once.
    pub fn from_ca_file(path: &Path) -> Result<Self, CaFileError> {
        let at = || path.to_owned();
        let text = std::fs::read(path).map_err(|source| CaFileError::Unreadable { path: at(), source })?;
        let mut store = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(&text).enumerate() {
            let certificate = certificate.map_err(|source| CaFileError::NotPem { path: at(), source })?;
            store.add(certificate).map_err(|source| CaFileError::NoRoot { path: at(), number: index + 1, source })?;
        }
        if store.is_empty() {
            return Err(CaFileError::Empty { path: at() });
        }
        log::info!("https is checked with the {} root certificates of {}", store.len(), path.display());
        let config = provider_defaults(|builder| Ok(builder.with_root_certificates(store)));
        Ok(Self(Ok(config.expect("ring has what TLS 1.2 and 1.3 need"))))
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

    /// What a client without a certificate connects by; none where TLS is unavailable.
    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.0.as_ref().ok().map(Arc::clone)
    }

    /// The same for a client that offers this certificate. Its sessions are its own:
    /// resuming one would show the receiver who began it.
    pub(super) fn config_offering(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Option<Arc<ClientConfig>>, rustls::Error> {
        let Some(plain) = self.config() else { return Ok(None) };
        let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(certificate.key.expose())
            .map_err(|reason| rustls::Error::General(reason.to_owned()))?;
        let pair = CertifiedKey::from_der(chain, key.clone_key(), plain.crypto_provider())?;
        let mut config = ClientConfig::clone(&plain);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
        config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_ONE_CERTIFICATE);
        Ok(Some(Arc::new(config)))
    }

    pub(crate) fn unavailable_because(&self) -> Option<&str> {
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
