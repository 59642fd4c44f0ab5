//! Any legacy request: no panic, and never believed, for nobody here knows the secret.
#![no_main]

use creel_wire::params::Params;
use creel_wire::secret::Secret;
use creel_wire::sign::{Claim, Request};
use libfuzzer_sys::fuzz_target;

const SIGNED: &str = "SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&AccessKeyId=a&SignatureNonce=n&Version=v&Action=A&\
                      Timestamp=t&";

fuzz_target!(|data: (&str, &[u8])| {
    let (rest, body) = data;
    let query = format!("{SIGNED}{rest}");
    let Ok(params) = Params::decode(&query, body) else { return };
    let request = Request { method: "GET", path: "/", query: &query, headers: &[], body };
    if let Ok(claim) = Claim::of(&request, &params) {
        let secret = Secret::new("5d41402abc4b2a76b9719d911017c592".to_owned());
        assert!(claim.verify(&request, &params, &secret).is_err());
    }
});
