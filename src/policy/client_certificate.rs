//! Whether a certificate and a key can be an endpoint's, to be offered to
//! receivers that ask who calls. Both come as PEM; what is kept is their DER and
//! nothing that stood around it. Who believes the certificate is decided by
//! receivers, not here.

use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::domain::{
    ClientCertificate, MAX_CHAIN_BYTES, MAX_CHAIN_LENGTH, MAX_KEY_BYTES, MAX_SUBJECT_CHARS, PrivateKey, Timestamp,
};

/// Why a certificate or its key cannot be used: the words a partner reads. None
/// of them repeats what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// The chain is longer than is stored.
    #[error("the limit is {MAX_CHAIN_BYTES} bytes and {MAX_CHAIN_LENGTH} certificates")]
    ChainTooLong,
    /// The chain is no PEM.
    #[error("this is not PEM that can be read: expected sections from `-----BEGIN CERTIFICATE-----` to its end")]
    ChainNotPem,
    /// No section of it is a certificate.
    #[error("there is no `-----BEGIN CERTIFICATE-----` in it")]
    NoCertificate,
    /// It has a section that is no certificate, such as the key.
    #[error("only certificates belong here; the private key belongs into `key`")]
    NotOnlyCertificates,
    /// A certificate that is none.
    #[error("certificate {0} of it cannot be read: expected X.509 version 3")]
    UnreadableCertificate(usize),
    /// It is over already.
    #[error("the certificate expired at {0}: give one that is valid")]
    Expired(Timestamp),
    /// The key is longer than is stored.
    #[error("the limit is {MAX_KEY_BYTES} bytes")]
    KeyTooLong,
    /// The key is no PEM.
    #[error("this is not PEM that can be read: expected one section such as `-----BEGIN PRIVATE KEY-----`")]
    KeyNotPem,
    /// The key needs a passphrase.
    #[error(
        "the key is encrypted, and there is nobody to type its passphrase: decrypt it first, as `openssl pkey` does"
    )]
    KeyEncrypted,
    /// There is no key, or more than one, or something else.
    #[error("expected exactly one private key and nothing else, as PKCS#8, PKCS#1 or SEC1")]
    NotOneKey,
    /// Of a kind or size that cannot sign.
    #[error("the key cannot be used: expected RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519")]
    UnusableKey,
    /// The key of another certificate.
    #[error("the key is not that of the first certificate: the endpoint's own certificate comes first")]
    KeyMismatch,
}

impl CertificateProblem {
    /// Whether it is the key that is wrong, and not the certificate.
    pub fn is_about_key(&self) -> bool {
        matches!(
            self,
            Self::KeyTooLong
                | Self::KeyNotPem
                | Self::KeyEncrypted
                | Self::NotOneKey
                | Self::UnusableKey
                | Self::KeyMismatch
        )
    }
}

/// The certificate of these two PEM texts, which is valid at `now`.
pub fn check(certificate: &str, key: &str, now: Timestamp) -> Result<ClientCertificate, CertificateProblem> {
    let chain = read_chain(certificate)?;
    let key = read_key(key)?;
    let own = chain.first().ok_or(CertificateProblem::NoCertificate)?;
    let facts = Certificate::from_der(own).map_err(|_| CertificateProblem::UnreadableCertificate(1))?;
    let not_after = timestamp(facts.tbs_certificate().validity().not_after.to_unix_duration());
    let subject = facts.tbs_certificate().subject();
    let subject = (!subject.is_empty()).then(|| subject.to_string().chars().take(MAX_SUBJECT_CHARS).collect());
    pair(&chain, &key)?;
    if not_after < now {
        return Err(CertificateProblem::Expired(not_after));
    }
    Ok(ClientCertificate {
        sha256: Sha256::digest(own).into(),
        key: PrivateKey::new(key.secret_der().to_vec()),
        chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        subject,
        not_after,
    })
}

fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    if text.len() > MAX_CHAIN_BYTES {
        return Err(CertificateProblem::ChainTooLong);
    }
    let mut chain = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        match section.map_err(|_| CertificateProblem::ChainNotPem)? {
            (SectionKind::Certificate, der) => chain.push(CertificateDer::from(der)),
            _ => return Err(CertificateProblem::NotOnlyCertificates),
        }
    }
    if chain.len() > MAX_CHAIN_LENGTH {
        return Err(CertificateProblem::ChainTooLong);
    }
    // A section of a kind that the parser does not know is passed over by it.
    if text.matches("-----BEGIN ").count() != chain.len() {
        return Err(CertificateProblem::NotOnlyCertificates);
    }
    for (index, certificate) in chain.iter().enumerate() {
        rustls::server::ParsedCertificate::try_from(certificate)
            .map_err(|_| CertificateProblem::UnreadableCertificate(index + 1))?;
    }
    if chain.is_empty() { Err(CertificateProblem::NoCertificate) } else { Ok(chain) }
}

fn read_key(text: &str) -> Result<PrivateKeyDer<'static>, CertificateProblem> {
    if text.len() > MAX_KEY_BYTES {
        return Err(CertificateProblem::KeyTooLong);
    }
    // PKCS#8's way of saying it, and that of older files.
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateProblem::KeyEncrypted);
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| CertificateProblem::KeyNotPem)?;
    // A curve's parameters are said in front of its key by some tools.
    let sections = text.matches("-----BEGIN ").count() - text.matches("-----BEGIN EC PARAMETERS-----").count();
    match keys.pop() {
        Some(key) if keys.is_empty() && sections == 1 => Ok(key),
        _ => Err(CertificateProblem::NotOneKey),
    }
}

/// rustls' own check that the two belong together. It takes what it cannot
/// compare; here that is no pair.
fn pair(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<(), CertificateProblem> {
    let signing = ring::sign::any_supported_type(key).map_err(|_| CertificateProblem::UnusableKey)?;
    CertifiedKey::new(chain.to_vec(), signing).keys_match().map_err(|_| CertificateProblem::KeyMismatch)
}

fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! pem {
        ($name:literal) => {
            include_str!(concat!("../../tests/it/transport/certificates/", $name))
        };
    }

    const OWN: &str = pem!("acme.pem");
    const KEY: &str = pem!("acme.key.pem");
    const OTHER: &str = pem!("globex.pem");

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().expect("a time")
    }

    fn check(certificate: &str, key: &str) -> Result<ClientCertificate, CertificateProblem> {
        super::check(certificate, key, now())
    }

    #[test]
    fn a_pair_is_kept_as_its_bytes_and_its_facts() {
        let found = check(OWN, KEY).expect("a pair");
        assert_eq!((found.chain.len(), found.subject.as_deref()), (1, Some("CN=acme,O=Acme")));
        assert_eq!(found.fingerprint(), pem!("acme.sha256").trim());
        assert!(found.not_after > now());
        // What stands around the sections is not kept.
        let wrapped = format!("subject=CN=acme\n{OWN}\nand so on\n");
        assert_eq!(check(&wrapped, &format!("\n{KEY}\n")), Ok(found.clone()));
        // Whoever vouches for it may come along.
        let chain = check(&format!("{OWN}{}", pem!("clients.pem")), KEY).expect("a chain");
        assert_eq!((chain.chain.len(), chain.sha256), (2, found.sha256));
        // Each form of key, and of each kind.
        for (certificate, key) in [
            (OWN, pem!("acme.sec1.pem")),
            (OTHER, pem!("globex.key.pem")),
            (pem!("initech.pem"), pem!("initech.key.pem")),
        ] {
            check(certificate, key).expect("a pair");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_and_named() {
        let refused = |certificate: &str, key: &str, expected: CertificateProblem| {
            assert_eq!(check(certificate, key), Err(expected));
        };
        refused("", KEY, CertificateProblem::NoCertificate);
        refused("hello", KEY, CertificateProblem::NoCertificate);
        refused(&OWN[..OWN.len() / 2], KEY, CertificateProblem::ChainNotPem);
        refused(&format!("{OWN}{KEY}"), KEY, CertificateProblem::NotOnlyCertificates);
        refused(
            &format!("{OWN}-----BEGIN SOMETHING-----\nAAAA\n-----END SOMETHING-----\n"),
            KEY,
            CertificateProblem::NotOnlyCertificates,
        );
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        refused(garbage, KEY, CertificateProblem::UnreadableCertificate(1));
        refused(&format!("{OWN}{garbage}"), KEY, CertificateProblem::UnreadableCertificate(2));
        refused(&OWN.repeat(MAX_CHAIN_LENGTH + 1), KEY, CertificateProblem::ChainTooLong);
        refused(&" ".repeat(MAX_CHAIN_BYTES + 1), KEY, CertificateProblem::ChainTooLong);

        refused(OWN, "", CertificateProblem::NotOneKey);
        refused(OWN, OWN, CertificateProblem::NotOneKey);
        refused(OWN, &format!("{KEY}{KEY}"), CertificateProblem::NotOneKey);
        refused(OWN, &format!("{KEY}{OWN}"), CertificateProblem::NotOneKey);
        refused(OWN, &KEY[..KEY.len() / 2], CertificateProblem::KeyNotPem);
        refused(OWN, &" ".repeat(MAX_KEY_BYTES + 1), CertificateProblem::KeyTooLong);
        refused(OWN, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", CertificateProblem::UnusableKey);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        refused(OWN, encrypted, CertificateProblem::KeyEncrypted);
        refused(OWN, pem!("globex.key.pem"), CertificateProblem::KeyMismatch);
        // Somebody else's certificate is no use without its key.
        refused(OTHER, KEY, CertificateProblem::KeyMismatch);
    }

    #[test]
    fn one_that_is_over_says_since_when() {
        let end = "2020-01-02T00:00:00Z".parse().expect("a time");
        assert_eq!(check(pem!("expired.pem"), KEY), Err(CertificateProblem::Expired(end)));
        assert!(CertificateProblem::Expired(end).to_string().contains("2020-01-02T00:00:00.000Z"));
        assert!(super::check(pem!("expired.pem"), KEY, end).is_ok(), "it is valid to its last second");
    }
}
