//! What is settled about connections before any is taken: how many the system has
//! files for, by what they are encrypted, and whom the nodes of a cluster believe.

use crate::config::Config;
use crate::server::{CertificateError, Certificates, read_certificates};
use crate::transport::TlsClient;

/// Open files for everything but clients and attempts: the store, other nodes, names,
/// and a client's connection while another makes room for it.
const OTHER_FILES: u64 = 512;
/// With fewer there would be nobody left to serve.
const FEWEST_CONNECTIONS: u64 = 16;

/// Has as many files as the system gives, and answers how many connections of
/// clients they are enough for.
pub(super) fn max_connections(config: &Config) -> usize {
    let wanted = config.inbound.max_connections;
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            log::warn!("the limit of open files stays as it is: {error}");
            return wanted;
        }
    };
    log::debug!("{files} open files are allowed");
    let left = files.saturating_sub(config.engine.max_in_flight as u64).saturating_sub(OTHER_FILES);
    let most = usize::try_from(left.max(FEWEST_CONNECTIONS)).unwrap_or(usize::MAX);
    if most < wanted {
        log::warn!(
            "{files} open files are allowed, of which `max_in_flight` leaves enough for {most} connections instead of \
             the {wanted} of `max_connections`: raise the limit (ulimit -n) or lower `max_in_flight`"
        );
    }
    most.min(wanted)
}

/// What connections are encrypted by, if they are; it is kept current from now on.
pub(super) fn certificates(config: &Config) -> Result<Option<Certificates>, CertificateError> {
    let Some(files) = &config.inbound.tls else { return Ok(None) };
    let certificates = Certificates::load(&files.certificate, &files.key)?;
    certificates.keep_current()?;
    Ok(Some(certificates))
}

/// Whom a node believes that it is another one of its cluster.
pub(super) fn nodes_tls(config: &Config) -> Result<TlsClient, CertificateError> {
    let Some(path) = &config.cluster.ca_file else { return Ok(TlsClient::from_platform()) };
    let roots = read_certificates("cluster_ca_file", path)?;
    TlsClient::from_roots(roots).map_err(|error| CertificateError::Untrusted {
        option: "cluster_ca_file",
        path: path.clone(),
        error,
    })
}
