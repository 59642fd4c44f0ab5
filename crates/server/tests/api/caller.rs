//! Calls of one account's key, and tables of what is refused.

use serde_json::Value;

use crate::harness::{Answer, KEY_ID, SECRET, TestApp};

const ECD: &str = "2020-09-30";
const OURS: &str = "2026-11-24";

/// Parameters of a call.
pub(crate) type Params<'a> = &'a [(&'a str, &'a str)];
/// What to change in a good call (an empty value takes a parameter away), and the status and code that answer it.
pub(crate) type Refusal<'a> = (Params<'a>, u16, &'a str);

/// One access key of a server.
pub(crate) struct Caller<'a> {
    app: &'a TestApp,
    key_id: String,
    secret: String,
}

impl<'a> Caller<'a> {
    /// The root account.
    pub(crate) fn root(app: &'a TestApp) -> Self {
        Self { app, key_id: KEY_ID.to_owned(), secret: SECRET.to_owned() }
    }

    /// A new account.
    pub(crate) async fn stranger(app: &'a TestApp) -> Self {
        let account = app.server.accounts().create("stranger").await.unwrap();
        let key = app.server.accounts().create_key(&account.id).await.unwrap();
        Self { app, key_id: key.id.to_string(), secret: key.secret.expose().to_owned() }
    }

    /// Who acts for an end user of the root account, which must exist.
    pub(crate) async fn end_user(app: &'a TestApp, name: &str) -> Self {
        let root = Self::root(app);
        let made =
            root.call((OURS, "CreatePrincipal"), &[("PrincipalName", name), ("EndUserId", name)]).await;
        made.assert_ok();
        Self::member(app, name).await
    }

    /// A principal of the root account, which must exist, by a new key.
    pub(crate) async fn member(app: &'a TestApp, name: &str) -> Self {
        let key = Self::root(app).call((OURS, "CreateAccessKey"), &[("PrincipalName", name)]).await;
        key.assert_ok();
        let field = |field: &str| text(&key.body["AccessKey"][field]);
        Self { app, key_id: field("AccessKeyId"), secret: field("AccessKeySecret") }
    }

    /// Calls an operation with its parameters in the body.
    pub(crate) async fn call(&self, operation: (&str, &str), params: Params<'_>) -> Answer {
        let mut call = self.app.call(operation);
        call.form = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
        call.key_id.clone_from(&self.key_id);
        call.secret.clone_from(&self.secret);
        self.app.send(call.acs3()).await
    }

    /// An operation of ecd 2020-09-30 in this installation's region that succeeds.
    pub(crate) async fn ecd(&self, action: &str, params: Params<'_>) -> Value {
        let answer = self.call((ECD, action), &with(&[("RegionId", "cn-hangzhou")], params)).await;
        answer.assert_ok();
        answer.body
    }

    /// Fails unless each changed call of ecd 2020-09-30 is refused as its row says.
    pub(crate) async fn ecd_refuses(&self, action: &str, good: Params<'_>, rows: &[Refusal<'_>]) {
        let good = with(&[("RegionId", "cn-hangzhou")], good);
        self.refuses((ECD, action), &good, rows).await;
    }

    /// As [`Caller::ecd_refuses`], for any operation.
    pub(crate) async fn refuses(&self, operation: (&str, &str), good: Params<'_>, rows: &[Refusal<'_>]) {
        for (change, status, code) in rows {
            let answer = self.call(operation, &with(good, change)).await;
            assert_eq!((answer.status, answer.code()), (*status, *code), "{change:?}: {}", answer.body);
            answer.assert_refused(*status, code);
        }
    }

    /// A new office site.
    pub(crate) async fn office_site(&self) -> String {
        text(&self.ecd("CreateSimpleOfficeSite", &[("OfficeSiteName", "site")]).await["OfficeSiteId"])
    }

    /// New JVS Computers in an office site.
    pub(crate) async fn desktops(&self, site: &str, amount: &str) -> Vec<String> {
        let params = [("OfficeSiteId", site), ("BundleId", "b-openclaw-linux"), ("Amount", amount)];
        let made = self.ecd("CreateDesktops", &params).await;
        made["DesktopId"].as_array().unwrap().iter().map(text).collect()
    }

    /// A runtime as DescribeDesktops shows it, once it is as wanted.
    pub(crate) async fn desktop_when(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let shown = self.ecd("DescribeDesktops", &[("DesktopId.1", id)]).await["Desktops"][0].clone();
            if wanted(&shown) {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("runtime {id} never became what the test waits for");
    }

    /// A runtime once it has this DesktopStatus.
    pub(crate) async fn desktop_in(&self, id: &str, status: &str) -> Value {
        self.desktop_when(id, |shown| shown["DesktopStatus"] == status).await
    }
}

/// Parameters with some of them replaced, added, or taken away by an empty value.
pub(crate) fn with<'a>(good: Params<'a>, change: Params<'a>) -> Vec<(&'a str, &'a str)> {
    let kept = good.iter().filter(|(name, _)| !change.iter().any(|(changed, _)| changed == name));
    kept.chain(change).filter(|(_, value)| !value.is_empty()).copied().collect()
}

/// The text of a JSON value.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
