//! To what a sealed value is bound: what it is for, whose it is and at which endpoint.
//! Moved to anywhere else, it does not open.

use super::RingKeyId;

/// What begins all associated data, so that a key that was used for something else as
/// well is of no use here.
const DOMAIN: &str = "posthaste sealed v1";

/// What a sealed value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// It signs what an endpoint is sent.
    SigningSecret,
    /// The value of an endpoint's own header of this name.
    Header(&'a str),
    /// The private key of an endpoint's client certificate.
    ClientCertificateKey,
    /// What a browser shows of whoever signed in with a key: no endpoint's.
    Session,
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// What it is for; `None` is the check value of a key, which is no endpoint's.
    purpose: Option<Purpose<'a>>,
    tenant: i64,
    endpoint: i64,
}

impl<'a> Binding<'a> {
    /// The check value of a key.
    pub(super) const CHECK: Binding<'static> = Binding { purpose: None, tenant: 0, endpoint: 0 };

    /// Of a tenant's endpoint, by the numbers that the store has for them.
    pub const fn new(purpose: Purpose<'a>, tenant: i64, endpoint: i64) -> Self {
        Self { purpose: Some(purpose), tenant, endpoint }
    }

    /// What is authenticated with the value. Each part with its length: no two
    /// bindings have the same bytes.
    pub(super) fn associated_data(&self, key: &RingKeyId) -> Vec<u8> {
        let (purpose, name) = match self.purpose {
            None => ("check", ""),
            Some(Purpose::SigningSecret) => ("signing secret", ""),
            Some(Purpose::Header(name)) => ("header", name),
            Some(Purpose::ClientCertificateKey) => ("client certificate key", ""),
            Some(Purpose::Session) => ("session", ""),
        };
        let (tenant, endpoint) = (self.tenant.to_be_bytes(), self.endpoint.to_be_bytes());
        let parts: [&[u8]; 6] = [
            DOMAIN.as_bytes(),
            key.as_str().as_bytes(),
            purpose.as_bytes(),
            name.as_bytes(),
            tenant.as_slice(),
            endpoint.as_slice(),
        ];
        let mut data = Vec::with_capacity(128);
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}
