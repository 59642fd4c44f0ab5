//! What a request may look like: both signatures, both methods, query and form, HTTP/1.1 and 2.

use creel_testkit::both_databases;
use http::Method;

use crate::harness::{READ, TestApp, WRITE};

both_databases! {
    async fn both_signatures_both_methods_and_both_protocols_are_taken(t) {
        let app = TestApp::start(&t).await;
        for method in [Method::GET, Method::POST] {
            let mut call = app.call(READ);
            call.method = method;
            app.send(call.acs3()).await.assert_ok();
            call.nonce = format!("{}-rpc1", call.nonce);
            app.send(call.rpc1()).await.assert_ok();
            call.nonce = format!("{}-http2", call.nonce);
            app.send_http2(call.acs3()).await.assert_ok();
        }
        let answer = app.get(READ, "").await;
        assert_eq!(answer.headers["content-type"], "application/json;charset=utf-8");
        assert_eq!(answer.headers["x-acs-request-id"], answer.body["RequestId"].as_str().unwrap());
        let regions = app.get(("2020-09-30", "DescribeRegions"), "RegionId=cn-hangzhou").await;
        assert_eq!(regions.body["Regions"][0]["RegionId"], "cn-hangzhou", "{}", regions.body);
    }

    async fn query_and_form_are_one_set_of_parameters(t) {
        let app = TestApp::start(&t).await;
        let mut call = app.call(WRITE);
        call.query = "RegionId=cn-hangzhou".to_owned();
        call.form = "OfficeSiteName=a+b%2Ac~".to_owned();
        let made = app.send(call.acs3()).await;
        made.assert_ok();
        call.nonce = format!("{}-rpc1", call.nonce);
        app.send(call.rpc1()).await.assert_ok();
        let query = "RegionId=cn-hangzhou";
        let listed = app.get(("2020-09-30", "DescribeOfficeSites"), query).await;
        assert_eq!(listed.body["OfficeSites"][0]["Name"], "a b*c~", "{}", listed.body);
    }

    async fn unknown_operations_and_versions_are_told_apart_from_nothing(t) {
        let app = TestApp::start(&t).await;
        for operation in [("2020-09-30", "NoSuchThing"), ("1999-01-01", READ.1), ("2021-09-01", READ.1)] {
            let answer = app.get(operation, "").await;
            answer.assert_refused(404, "InvalidApi.NotFound");
            let host = answer.body["HostId"].as_str().unwrap();
            assert_eq!(host, app.host());
        }
        let mut legacy = app.call(("2020-09-30", "NoSuchThing"));
        legacy.method = Method::GET;
        app.send(legacy.rpc1()).await.assert_refused(404, "InvalidApi.NotFound");
    }

    async fn the_legacy_signature_takes_its_target_from_the_signed_query(t) {
        let app = TestApp::start(&t).await;
        let mut request = app.call(READ).rpc1();
        request.headers_mut().insert("x-acs-action", "NoSuchThing".parse().unwrap());
        request.headers_mut().insert("x-acs-version", "1999-01-01".parse().unwrap());
        app.send(request).await.assert_ok();
    }

    async fn wrong_parameters_are_named(t) {
        let app = TestApp::start(&t).await;
        app.get(WRITE, "").await.assert_refused(400, "MissingRegionId");
        let wrong_type = "RegionId=cn-hangzhou&EnableAdminAccess=maybe";
        app.get(WRITE, wrong_type).await.assert_refused(400, "InvalidEnableAdminAccess");
        let refused = "RegionId=cn-hangzhou&DomainName=example.com";
        app.get(WRITE, refused).await.assert_refused(400, "UnsupportedParameter");
        let mut twice = app.call(WRITE);
        twice.query = "RegionId=cn-hangzhou".to_owned();
        twice.form = "RegionId=cn-beijing".to_owned();
        app.send(twice.acs3()).await.assert_refused(400, "InvalidParameter");
    }

    async fn answers_are_json_or_nothing(t) {
        let app = TestApp::start(&t).await;
        app.get(READ, "Format=XML").await.assert_refused(400, "InvalidParameter.Format");
        app.get(READ, "Format=json").await.assert_ok();
        let mut json = app.call(WRITE);
        json.form = "{}".to_owned();
        let mut request = json.acs3();
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        app.send(request).await.assert_refused(400, "InvalidContentType");
        for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
            let mut call = app.call(READ);
            call.method = method;
            app.send(call.acs3()).await.assert_refused(400, "UnsupportedHTTPMethod");
        }
    }

    async fn a_client_token_answers_alike_and_only_for_the_same_request(t) {
        let app = TestApp::start(&t).await;
        let query = "RegionId=cn-hangzhou&OfficeSiteName=site&ClientToken=one";
        let first = app.get(WRITE, query).await;
        first.assert_ok();
        let again = app.get(WRITE, query).await;
        again.assert_ok();
        assert_eq!(first.body["OfficeSiteId"], again.body["OfficeSiteId"]);
        assert_ne!(first.body["RequestId"], again.body["RequestId"]);
        let other = "RegionId=cn-hangzhou&OfficeSiteName=other&ClientToken=one";
        app.get(WRITE, other).await.assert_refused(400, "IdempotentParameterMismatch");
    }
}
