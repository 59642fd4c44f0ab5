//! Any Authorization header, query and body: no panic, and never believed, for nobody here knows the secret.
#![no_main]

use creel_wire::params::Params;
use creel_wire::secret::Secret;
use creel_wire::sign::{Claim, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str, &str, &[u8])| {
    let (authorization, header, query, body) = data;
    let Ok(params) = Params::decode(query, body) else { return };
    let headers = [
        ("authorization", authorization),
        ("host", "localhost"),
        ("x-acs-action", header),
        ("x-acs-version", "2020-09-30"),
        ("x-acs-date", "2026-01-02T03:04:05Z"),
        ("x-acs-signature-nonce", "n"),
        ("x-acs-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ];
    let request = Request { method: "POST", path: "/", query, headers: &headers, body };
    if let Ok(claim) = Claim::of(&request, &params) {
        let secret = Secret::new("5d41402abc4b2a76b9719d911017c592".to_owned());
        assert!(claim.verify(&request, &params, &secret).is_err());
    }
});
