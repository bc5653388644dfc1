//! The certificate that the server shows: read from PEM files, checked, and taken up
//! anew when the files are renewed. TLS 1.2 and 1.3 by rustls with ring. HTTP/1.1
//! alone is offered: every limit of connections here is one of HTTP/1.1.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_rt::time::sleep;
use arc_swap::ArcSwap;
use futures_util::future::{Either, select};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{SignalKind, signal};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there, or not ours to read.
    #[error("`{option}`: cannot read {}", .path.display())]
    Unreadable {
        /// Which option names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("`{option}`: {} is not a PEM file: {why}", .path.display())]
    NotPem {
        /// Which option names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the parser says.
        why: String,
    },
    /// A file has nothing of what is looked for.
    #[error("`{option}`: there is no {what} in {}; it needs a PEM section `-----BEGIN {section}-----`", .path.display())]
    Missing {
        /// Which option names it.
        option: &'static str,
        /// `certificate` or `private key`.
        what: &'static str,
        /// How PEM calls it.
        section: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("`tls_key` does not go with `tls_certificate`, whose first certificate must be the server's own: {0}")]
    Unfit(rustls::Error),
    /// A certificate that nothing can be checked against.
    #[error("`{option}`: a certificate in {} cannot be used: {error}", .path.display())]
    Untrusted {
        /// Which option names it.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: rustls::Error,
    },
    /// rustls does not take it.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
    /// The system would not tell of a SIGHUP.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
}

/// What the server shows its clients. A clone is the same.
#[derive(Clone)]
pub struct Certificates {
    files: Arc<Files>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// What the files were when they were last looked at, good or bad.
    seen: Mutex<[u8; 32]>,
}

struct Current(ArcSwap<CertifiedKey>);

impl fmt::Debug for Current {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Current").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What a look at the files found.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Unchanged,
    Renewed,
}

impl Certificates {
    /// Reads both files: the server's certificate with those that lead to its root,
    /// and its private key.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let (texts, hash) = read_pair(certificate, key)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(fitting(certificate, key, &texts)?)));
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned(), seen: Mutex::new(hash) };
        Ok(Self { files: Arc::new(files), current, config: Arc::new(config) })
    }

    /// What connections are encrypted by. It shows whatever is current.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Looks at the files once a minute, and at each SIGHUP, from now on.
    pub fn keep_current(&self) -> Result<(), CertificateError> {
        let mut hang_ups = signal(SignalKind::hangup()).map_err(CertificateError::Signal)?;
        let certificates = self.clone();
        actix_rt::spawn(async move {
            loop {
                let hang_up = std::pin::pin!(hang_ups.recv());
                let asked = match select(hang_up, std::pin::pin!(sleep(LOOK_EVERY))).await {
                    Either::Left((Some(()), _)) => true,
                    Either::Left((None, _)) => return,
                    Either::Right(((), _)) => false,
                };
                let looking = certificates.clone();
                let looked = actix_rt::task::spawn_blocking(move || looking.look()).await;
                match looked {
                    Ok(Ok(Look::Renewed)) => log::info!("the TLS certificate was renewed"),
                    Ok(Ok(Look::Unchanged)) if asked => log::info!("the TLS certificate is as it was"),
                    Ok(Ok(Look::Unchanged)) => {}
                    Ok(Err(error)) => {
                        let source = std::error::Error::source(&error).map(|why| format!(": {why}"));
                        log::error!("the TLS certificate stays as it was: {error}{}", source.unwrap_or_default());
                    }
                    Err(error) => log::error!("the TLS certificate cannot be looked at: {error}"),
                }
            }
        });
        Ok(())
    }

    /// Takes the files up if they have changed and are good. What is bad is said once.
    fn look(&self) -> Result<Look, CertificateError> {
        let Files { certificate, key, seen } = &*self.files;
        let (texts, hash) = read_pair(certificate, key)?;
        {
            let mut seen = seen.lock().expect("no holder of this lock can panic");
            if *seen == hash {
                return Ok(Look::Unchanged);
            }
            *seen = hash;
        }
        self.current.0.store(Arc::new(fitting(certificate, key, &texts)?));
        Ok(Look::Renewed)
    }
}

struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Unreadable { option, path: path.to_owned(), source })
}

fn read_pair(certificate: &Path, key: &Path) -> Result<(Texts, [u8; 32]), CertificateError> {
    let texts = Texts { certificate: read("tls_certificate", certificate)?, key: read("tls_key", key)? };
    let mut hash = Sha256::new();
    hash.update((texts.certificate.len() as u64).to_be_bytes());
    hash.update(&texts.certificate);
    hash.update(&texts.key);
    Ok((texts, hash.finalize().into()))
}

fn fitting(certificate: &Path, key: &Path, texts: &Texts) -> Result<CertifiedKey, CertificateError> {
    let chain = certificates("tls_certificate", certificate, &texts.certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&texts.key).map_err(|error| match error {
        PemError::NoItemsFound => CertificateError::Missing {
            option: "tls_key",
            what: "private key",
            section: "PRIVATE KEY",
            path: key.to_owned(),
        },
        error => not_pem("tls_key", key, &error),
    })?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(CertificateError::Unfit)
}

/// The certificates in a PEM file that an option names, at least one.
pub fn read_certificates(option: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    certificates(option, path, &read(option, path)?)
}

fn certificates(
    option: &'static str,
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(option, path, &error))?;
    if found.is_empty() {
        let (what, section) = ("certificate", "CERTIFICATE");
        return Err(CertificateError::Missing { option, what, section, path: path.to_owned() });
    }
    Ok(found)
}

/// The parser's words, but none of the file's, which may be a key.
fn not_pem(option: &'static str, path: &Path, error: &PemError) -> CertificateError {
    let why = match error {
        PemError::MissingSectionEnd { .. } => "a section has no end".to_owned(),
        PemError::IllegalSectionStart { .. } => "a section begins in no known way".to_owned(),
        PemError::Base64Decode(_) => "a section is not base64".to_owned(),
        PemError::SectionTooLarge => "a section is too large".to_owned(),
        error => error.to_string(),
    };
    CertificateError::NotPem { option, path: path.to_owned(), why }
}
