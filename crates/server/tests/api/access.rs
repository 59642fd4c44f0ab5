//! Who is let in: every way in which a request can fail to be who it says, and each operation's door.

use creel_testkit::both_databases;
use jiff::SignedDuration;

use crate::harness::{KEY_ID, READ, TestApp, WRITE};

const NEW_SITE: &str = "RegionId=cn-hangzhou&OfficeSiteName=site";

both_databases! {
    async fn a_wrong_signature_or_key_is_refused(t) {
        let app = TestApp::start(&t).await;
        app.get(READ, "").await.assert_ok();

        let mut wrong_secret = app.call(READ);
        wrong_secret.secret = "other".to_owned();
        app.send(wrong_secret.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
        app.send(wrong_secret.rpc1()).await.assert_refused(400, "SignatureDoesNotMatch");

        let mut unknown = app.call(READ);
        unknown.key_id = "LTAInobody".to_owned();
        app.send(unknown.acs3()).await.assert_refused(404, "InvalidAccessKeyId.NotFound");
        unknown.key_id = "not an id".to_owned();
        app.send(unknown.rpc1()).await.assert_refused(404, "InvalidAccessKeyId.NotFound");

        let mut changed = app.call(WRITE);
        changed.form = NEW_SITE.to_owned();
        let mut request = changed.acs3();
        *request.body_mut() = "RegionId=cn-hangzhou&OfficeSiteName=other".to_owned().into();
        app.send(request).await.assert_refused(400, "SignatureDoesNotMatch");

        let mut unsigned = app.call(READ).acs3();
        unsigned.headers_mut().remove("authorization");
        app.send(unsigned).await.assert_refused(400, "IncompleteSignature");
        let mut header = app.call(READ).acs3();
        header.headers_mut().insert("x-acs-extra", "1".parse().unwrap());
        app.send(header).await.assert_refused(400, "IncompleteSignature");
        let mut method = app.call(READ).acs3();
        method.headers_mut().insert("authorization", "ACS3-HMAC-SM3 Credential=a".parse().unwrap());
        app.send(method).await.assert_refused(400, "InvalidSignatureMethod");
    }

    async fn a_key_that_is_turned_off_is_refused_to_its_holder_only(t) {
        let app = TestApp::start(&t).await;
        let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
        let key = KEY_ID.parse().unwrap();
        app.server.accounts().set_key_active(&root.id, &key, false).await.unwrap();
        app.get(READ, "").await.assert_refused(400, "InvalidAccessKeyId.Inactive");
        let mut stranger = app.call(READ);
        stranger.secret = "other".to_owned();
        app.send(stranger.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
        app.server.accounts().set_key_active(&root.id, &key, true).await.unwrap();
        app.get(READ, "").await.assert_ok();
    }

    async fn a_nonce_is_good_once(t) {
        let app = TestApp::start(&t).await;
        let read = app.call(READ);
        app.send(read.acs3()).await.assert_ok();
        app.send(read.acs3()).await.assert_refused(400, "SignatureNonceUsed");
        app.send(read.rpc1()).await.assert_refused(400, "SignatureNonceUsed");

        let mut write = app.call(WRITE);
        write.form = NEW_SITE.to_owned();
        app.send(write.acs3()).await.assert_ok();
        app.send(write.acs3()).await.assert_refused(400, "SignatureNonceUsed");

        // A nonce in a request with a bad signature is not used up: else strangers could use up other people's.
        let mut stolen = app.call(READ);
        let good = stolen.clone();
        stolen.secret = "other".to_owned();
        app.send(stolen.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
        app.send(good.acs3()).await.assert_ok();
    }

    async fn a_changes_nonce_is_remembered_over_a_restart(t) {
        let app = TestApp::start(&t).await;
        let mut write = app.call(WRITE);
        write.form = NEW_SITE.to_owned();
        app.send(write.acs3()).await.assert_ok();
        let data_dir = app.data_dir.clone();
        let mut request = write.acs3();
        assert_eq!(app.server.shutdown().await, 0, "every task ended");

        let app = TestApp::start_in(&t, data_dir).await;
        // The port is another one, so the request goes there with the host that it was signed for.
        *request.uri_mut() = app.server.admin_url().parse().unwrap();
        app.send(request).await.assert_refused(400, "SignatureNonceUsed");
    }

    async fn the_clock_may_be_off_by_fifteen_minutes(t) {
        let app = TestApp::start(&t).await;
        let late = app.call(READ);
        t.clock.advance(SignedDuration::from_secs(900));
        app.send(late.acs3()).await.assert_ok();
        let too_late = app.call(READ);
        let early = app.call(READ);
        t.clock.advance(SignedDuration::from_secs(901));
        app.send(too_late.acs3()).await.assert_refused(400, "InvalidTimeStamp.Expired");
        app.send(too_late.rpc1()).await.assert_refused(400, "InvalidTimeStamp.Expired");
        t.clock.advance(SignedDuration::from_secs(-901 - 901));
        app.send(early.acs3()).await.assert_refused(400, "InvalidTimeStamp.Expired");
        for date in ["yesterday", "2026-01-02 03:04:05", "2026-13-02T03:04:05Z"] {
            let mut malformed = app.call(READ);
            malformed.date = date.to_owned();
            app.send(malformed.acs3()).await.assert_refused(400, "InvalidTimeStamp.Format");
            app.send(malformed.rpc1()).await.assert_refused(400, "InvalidTimeStamp.Format");
        }
    }

    async fn a_security_token_with_a_permanent_key_is_refused(t) {
        let app = TestApp::start(&t).await;
        let mut call = app.call(READ);
        call.security_token = Some("token".to_owned());
        app.send(call.acs3()).await.assert_refused(400, "InvalidSecurityToken.Malformed");
        app.send(call.rpc1()).await.assert_refused(400, "InvalidSecurityToken.Malformed");
    }

    async fn no_operation_answers_a_stranger(t) {
        let app = TestApp::start(&t).await;
        for spec in creel_wire::ops::ALL {
            let mut call = app.call((spec.version, spec.action));
            let mut unsigned = call.acs3();
            unsigned.headers_mut().remove("authorization");
            app.send(unsigned).await.assert_refused(400, "IncompleteSignature");
            call.secret = "other".to_owned();
            app.send(call.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
            app.send(call.rpc1()).await.assert_refused(400, "SignatureDoesNotMatch");
        }
        // Nor is a stranger told which operations there are.
        let mut unknown = app.call(("2020-09-30", "NoSuchThing"));
        unknown.secret = "other".to_owned();
        app.send(unknown.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
    }

    async fn every_declared_operation_is_built(t) {
        let app = TestApp::start(&t).await;
        let mut missing = Vec::new();
        for spec in creel_wire::ops::ALL {
            if app.get((spec.version, spec.action), "").await.code() == "InvalidApi.NotFound" {
                missing.push(spec.action);
            }
        }
        assert!(missing.is_empty(), "declared, and not in the table of ops/mod.rs: {missing:?}");
    }
}
