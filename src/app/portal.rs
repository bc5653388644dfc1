//! What the configuration says of the partner portal, with the logo's file read.

use std::path::PathBuf;

use crate::config::PortalConfig;
use crate::dashboard::{Logo, PortalOptions};

/// A logo that cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("`portal_logo`: {} cannot be used: {reason}", .path.display())]
pub struct LogoError {
    /// The file.
    path: PathBuf,
    /// Why.
    reason: String,
}

/// For the dashboard.
pub(super) fn options(config: &PortalConfig) -> Result<PortalOptions, LogoError> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| error.to_string());
        bytes.and_then(Logo::read).map_err(|reason| LogoError { path: path.clone(), reason })
    };
    Ok(PortalOptions {
        frame_origins: config.frame_origins.clone(),
        name: config.name.clone(),
        logo: config.logo.as_ref().map(read).transpose()?,
        accent_light: config.accent_light,
        accent_dark: config.accent_dark,
    })
}
