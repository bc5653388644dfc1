//! The HTTP clients of one transport: one for all endpoints that show nothing of
//! themselves, and one for each certificate that is shown. awc's pool knows
//! connections by host alone, so that within one client an endpoint would send
//! over a connection that was opened under another's certificate.

use std::collections::HashMap;
use std::sync::Arc;

use actix_rt::task::JoinHandle;
use awc::Client;

use crate::domain::ClientCertificate;

/// Certificates that have clients at once. Beyond it the oldest client is let go,
/// and with it the connections that it could have used again.
const MAX_CERTIFICATES: usize = 256;

/// Whose a client is: everybody's, or that of those who show this certificate.
pub(super) type Shows = Option<Arc<ClientCertificate>>;

#[derive(Default)]
pub(super) struct Clients {
    kept: HashMap<Shows, Kept>,
    made: u64,
}

struct Kept {
    client: Client,
    /// Its place in the order in which they were made.
    number: u64,
    /// Lets it go in time; ended with it.
    retiring: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.retiring.abort();
    }
}

impl Clients {
    pub(super) fn get(&self, shows: &Shows) -> Option<Client> {
        self.kept.get(shows).map(|kept| kept.client.clone())
    }

    /// Keeps a client until `retiring` takes it out again. What is in flight over one
    /// that is let go ends undisturbed.
    pub(super) fn keep(&mut self, shows: Shows, client: Client, retiring: JoinHandle<()>) {
        if shows.is_some() && self.kept.keys().filter(|shows| shows.is_some()).count() >= MAX_CERTIFICATES {
            let identified = self.kept.iter().filter(|(shows, _)| shows.is_some());
            let oldest = identified.min_by_key(|(_, kept)| kept.number).map(|(shows, _)| shows.clone());
            if let Some(oldest) = oldest {
                self.kept.remove(&oldest);
            }
        }
        self.made += 1;
        self.kept.insert(shows, Kept { client, number: self.made, retiring });
    }

    pub(super) fn retire(&mut self, shows: &Shows) {
        self.kept.remove(shows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PrivateKey, Timestamp};

    fn showing(number: u16) -> Shows {
        let mut sha256 = [0; 32];
        sha256[..2].copy_from_slice(&number.to_be_bytes());
        Some(Arc::new(ClientCertificate {
            chain: Vec::new(),
            key: PrivateKey::new(Vec::new()),
            sha256,
            subject: None,
            not_after: Timestamp::from_millis(0),
        }))
    }

    fn keep(clients: &mut Clients, shows: Shows) {
        clients.keep(shows, Client::new(), actix_rt::spawn(std::future::pending()));
    }

    #[actix_rt::test]
    async fn certificates_push_out_the_oldest_of_their_own_kind() {
        let mut clients = Clients::default();
        keep(&mut clients, None);
        let most = u16::try_from(MAX_CERTIFICATES).expect("it is small");
        for number in 0..most + 2 {
            keep(&mut clients, showing(number));
        }
        assert_eq!(clients.kept.len(), MAX_CERTIFICATES + 1);
        let has = |shows: Shows| clients.get(&shows).is_some();
        assert!(has(None) && !has(showing(0)) && !has(showing(1)) && has(showing(2)) && has(showing(most + 1)));
    }

    #[actix_rt::test]
    async fn the_same_certificate_with_another_key_is_another_client() {
        let mut clients = Clients::default();
        keep(&mut clients, showing(1));
        let mut other = showing(1).expect("a certificate").as_ref().clone();
        assert!(clients.get(&Some(Arc::new(other.clone()))).is_some());
        other.key = PrivateKey::new(vec![1]);
        assert!(clients.get(&Some(Arc::new(other))).is_none());
    }
}
