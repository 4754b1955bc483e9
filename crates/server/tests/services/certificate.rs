//! A certificate of the test's own for `localhost`, which nobody trusts who is not told to.

use std::process::Command;

/// A key and a certificate in files.
pub(crate) struct Certificate {
    _folder: tempfile::TempDir,
    key: String,
    chain: String,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        Self::of("DNS:localhost,IP:127.0.0.1")
    }

    /// For these names and addresses, as OpenSSL writes them.
    pub(crate) fn of(names: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let (key, chain) = (path("key.pem"), path("cert.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", &format!("subjectAltName={names}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &key, "-out", &chain])
            .output()
            .expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { _folder: folder, key, chain }
    }

    /// The file with the key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The file with the certificate.
    pub(crate) fn chain(&self) -> &str {
        &self.chain
    }
}
