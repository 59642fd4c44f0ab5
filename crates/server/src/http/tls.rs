//! TLS from PEM files, the same for both listeners.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::ConfigError;

/// The configuration by a certificate chain and its key.
///
/// # Errors
/// If a file cannot be read, holds no PEM of its kind, or the two do not belong together.
pub(crate) fn load_tls(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, ConfigError> {
    let bad = |path: &Path, message: &str| ConfigError::value(path.display().to_string(), message);
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|_| bad(cert, "cannot be read as PEM certificates"))?;
    if chain.is_empty() {
        return Err(bad(cert, "holds no PEM certificate"));
    }
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|_| bad(key, "cannot be read as a PEM private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(rustls::ConfigBuilder::<ServerConfig, _>::with_no_client_auth)
        .and_then(|builder| builder.with_single_cert(chain, key_der))
        .map_err(|error| bad(cert, &format!("cannot be used with its key: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
