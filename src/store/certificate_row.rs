//! How an endpoint's client certificate stands in its settings' JSON, with the
//! facts that are shown of it, so that nothing is parsed to list endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::{ClientCertificate, PrivateKey, Timestamp};
use crate::store::StoreError;

/// [`ClientCertificate`] as JSON: bytes are base64.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct CertificateRow {
    chain: Vec<String>,
    /// Sealed where it is stored (`SettingsRow`).
    pub(in crate::store) key: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    not_after: i64,
}

impl From<&ClientCertificate> for CertificateRow {
    fn from(certificate: &ClientCertificate) -> Self {
        Self {
            chain: certificate.chain.iter().map(|der| STANDARD.encode(der)).collect(),
            key: STANDARD.encode(certificate.key.expose()),
            sha256: STANDARD.encode(certificate.sha256),
            subject: certificate.subject.clone(),
            not_after: certificate.not_after.as_millis(),
        }
    }
}

impl CertificateRow {
    /// What was stored, as the domain has it.
    pub(in crate::store) fn certificate(self) -> Result<ClientCertificate, StoreError> {
        let bytes = |text: &str| {
            STANDARD.decode(text).map_err(|_| StoreError::Corrupt("a client certificate is not base64".into()))
        };
        let sha256 = bytes(&self.sha256)?
            .try_into()
            .map_err(|_| StoreError::Corrupt("a client certificate's fingerprint is not of 32 bytes".into()))?;
        Ok(ClientCertificate {
            chain: self.chain.iter().map(|der| bytes(der)).collect::<Result<_, _>>()?,
            key: PrivateKey::new(bytes(&self.key)?),
            sha256,
            subject: self.subject,
            not_after: Timestamp::from_millis(self.not_after),
        })
    }
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use super::*;

    pub(in crate::store) fn certificate() -> ClientCertificate {
        ClientCertificate {
            chain: vec![vec![0x30, 0, 0xff], vec![1, 2, 3]],
            key: PrivateKey::new(vec![9, 8, 7, 6]),
            sha256: [0x5a; 32],
            subject: Some("CN=acme,O=Acme \"&\" Söhne".into()),
            not_after: Timestamp::from_millis(1_900_000_000_123),
        }
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_and_not_told() {
        for (field, value) in [("key", "s3cret!"), ("sha256", "AAAA"), ("sha256", "?")] {
            let mut row = serde_json::to_value(CertificateRow::from(&certificate())).expect("it is plain");
            row[field] = value.into();
            let row: CertificateRow = serde_json::from_value(row).expect("each is text");
            let error = row.certificate().expect_err(value);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
