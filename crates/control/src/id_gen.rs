//! Makes identifiers. Ids sort by the time they were made: 9 characters of milliseconds, then 80 random bits,
//! in lower-case base32 without padding.

use std::sync::Arc;

use creel_wire::id::{
    AccessKeyId, AccountId, CallId, CommandId, CreditPackId, InvocationId, JvsId, ModelGroupId, ModelId,
    OfficeSiteId, PrincipalId, ProviderId, ResourceGroupId, RuntimeId, SkillId, VirtualKeyId,
};

use crate::clock::Clock;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Makes ids and request ids; one per process, shared.
#[derive(Debug, Clone)]
pub struct IdGen {
    clock: Arc<dyn Clock>,
}

macro_rules! makers {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> $kind {
            self.make($kind::MARKER, $kind::parse)
        }
    )+};
}

impl IdGen {
    /// Ids whose leading part is this clock's time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    makers! {
        /// `prn-…`
        principal -> PrincipalId;
        /// `ecd-…`
        runtime -> RuntimeId;
        /// `jvs-…`
        jvs -> JvsId;
        /// `mt-…`
        model_group -> ModelGroupId;
        /// `mpt-…`
        provider -> ProviderId;
        /// `llmt-…`
        model -> ModelId;
        /// `rg-…`
        resource_group -> ResourceGroupId;
        /// `crp-…`
        credit_pack -> CreditPackId;
        /// `inv-…`
        invocation -> InvocationId;
        /// `t-…`
        command -> CommandId;
        /// `call-…`
        call -> CallId;
        /// `s-…`
        skill -> SkillId;
        /// `vk-…`
        virtual_key -> VirtualKeyId;
    }

    /// `<region>+dir-…`
    pub fn office_site(&self, region_id: &str) -> OfficeSiteId {
        self.make(&format!("{region_id}{}", OfficeSiteId::MARKER), OfficeSiteId::parse)
    }

    /// 16 digits that begin with 1, as the provider's account numbers do; below 2^53 so that every client
    /// language holds it exactly.
    pub fn account(&self) -> AccountId {
        let digits: String = (0..15).map(|_| char::from(b'0' + rand::random_range(0..10u8))).collect();
        self.parsed(&format!("1{digits}"), AccountId::parse)
    }

    /// Milliseconds and eleven random bits: sorts by time, and is below 2^53 until the year 2109.
    pub fn order(&self) -> i64 {
        self.clock.now_ms() * 2_048 + rand::random_range(0..2_048)
    }

    /// `LTAI` and 20 letters or digits.
    pub fn access_key(&self) -> AccessKeyId {
        self.parsed(&format!("LTAI{}", random_text(20)), AccessKeyId::parse)
    }

    /// `STS.` and 24 letters or digits.
    pub fn temporary_key(&self) -> AccessKeyId {
        self.parsed(&format!("{}{}", AccessKeyId::TEMPORARY, random_text(24)), AccessKeyId::parse)
    }

    /// An upper-case UUID, the form of the provider's RequestId.
    pub fn request_id(&self) -> String {
        #[expect(clippy::disallowed_methods, reason = "this is the one maker of ids")]
        let id = uuid::Uuid::new_v4();
        id.to_string().to_uppercase()
    }

    fn make<T, E: std::fmt::Display>(&self, prefix: &str, parse: fn(&str) -> Result<T, E>) -> T {
        let millis = self.clock.now_ms().unsigned_abs();
        let mut text = String::with_capacity(prefix.len() + 26);
        text.push_str(prefix);
        for shift in (0..9).rev() {
            text.push(symbol((millis >> (shift * 5)) & 31));
        }
        let random: u128 = rand::random();
        text.extend((0..16).map(|place| symbol(u64::try_from(random >> (place * 5) & 31).unwrap_or(0))));
        self.parsed(&text, parse)
    }

    fn parsed<T, E: std::fmt::Display>(&self, text: &str, parse: fn(&str) -> Result<T, E>) -> T {
        match parse(text) {
            Ok(id) => id,
            #[expect(clippy::panic, reason = "text made from our own alphabet and marker always parses")]
            Err(error) => panic!("made an id that does not parse: {error}"),
        }
    }
}

fn symbol(value: u64) -> char {
    let index = usize::try_from(value & 31).unwrap_or(0);
    ALPHABET.get(index).copied().map_or('0', char::from)
}

/// Random letters and digits for key ids, secrets and tokens; 5.95 bits a character.
pub fn random_text(length: usize) -> String {
    const SET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..length).filter_map(|_| SET.get(rand::random_range(0..SET.len())).copied().map(char::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;

    #[test]
    fn ids_sort_by_time_and_parse() {
        let clock = Arc::new(FixedClock::at(jiff::Timestamp::from_millisecond(1_790_000_000_000).unwrap()));
        let ids = IdGen::new(clock.clone());
        let first = ids.runtime();
        clock.advance(jiff::SignedDuration::from_millis(1));
        let second = ids.runtime();
        assert!(first < second, "{first} {second}");
        assert!(ids.office_site("cn-hangzhou").as_str().starts_with("cn-hangzhou+dir-"));
        assert_eq!(ids.account().as_str().len(), 16);
        assert_eq!(ids.request_id().len(), 36);
    }
}
