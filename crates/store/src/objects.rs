use std::{collections::BTreeMap, env, fs, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, path::Path as ObjectPath,
};
use url::Url;

use crate::{StoreError, StoreErrorKind};

/// A place in an object store.
#[derive(Debug, Clone)]
pub struct ObjectLocation {
    /// The store: one bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The path inside it.
    pub path: ObjectPath,
}

/// Opens `s3://bucket/path` with the user's usual credentials: the environment
/// (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...), else the profile (`AWS_PROFILE` or
/// `default`) of `~/.aws/credentials` and `~/.aws/config`, else the machine's role.
///
/// # Errors
/// When the URL is not one of an object store, or its settings contradict each other.
pub fn open_objects(url: &str) -> Result<ObjectLocation, StoreError> {
    let action = || format!("open the object store {url}");
    let parsed = Url::parse(url)
        .map_err(|error| StoreError::new(StoreErrorKind::Url, action()).because(error))?;
    if parsed.scheme() != "s3" || parsed.host_str().is_none() {
        return Err(StoreError::new(StoreErrorKind::Url, action())
            .help("use a folder or `s3://bucket/path`"));
    }
    let fail =
        |error: object_store::Error| StoreError::new(StoreErrorKind::Url, action()).because(error);
    // Two providers may be compiled in; whoever comes first decides, and both are ours.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(parsed.host_str().unwrap_or(""));
    if env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        builder = with_profile(builder);
    }
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .iter()
        .find_map(|name| env::var(name).ok());
    if let Some(endpoint) = endpoint {
        // An endpoint of one's own is nearly always addressed by path, and often without TLS.
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_virtual_hosted_style_request(false)
            .with_endpoint(endpoint);
    }
    let store = builder.with_retry(patience()).build().map_err(fail)?;
    let path = ObjectPath::from_url_path(parsed.path())
        .map_err(|error| fail(object_store::Error::from(error)))?;
    Ok(ObjectLocation { store: Arc::new(store), path })
}

/// How long a store is waited for that is busy or does not answer: for a minute, as databases and
/// services are, with pauses of up to five seconds.
fn patience() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 3.0,
    };
    RetryConfig { backoff, max_retries: 1_000, retry_timeout: Duration::from_secs(60) }
}

fn with_profile(mut builder: AmazonS3Builder) -> AmazonS3Builder {
    let profile = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let file = |variable: &str, name: &str| {
        let path =
            env::var_os(variable).map_or_else(|| home.join(".aws").join(name), PathBuf::from);
        fs::read_to_string(path).unwrap_or_default()
    };
    let mut values = section(&file("AWS_CONFIG_FILE", "config"), &profile);
    values.extend(section(&file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), &profile));
    if let (Some(id), Some(secret)) =
        (values.get("aws_access_key_id"), values.get("aws_secret_access_key"))
    {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    if let Some(token) = values.get("aws_session_token") {
        builder = builder.with_token(token);
    }
    match values.get("region") {
        Some(region) if env::var_os("AWS_REGION").is_none() => builder.with_region(region),
        _ => builder,
    }
}

/// The values of one profile in the INI dialect of the AWS tools, where a profile is `[name]`
/// in one file and `[profile name]` in the other.
fn section(text: &str, profile: &str) -> BTreeMap<String, String> {
    let mut inside = false;
    let mut values = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = header.trim();
            inside = name.strip_prefix("profile ").unwrap_or(name).trim() == profile;
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            values.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_the_aws_tools_do() {
        let text = "[default]\naws_access_key_id = A\n[profile work]\nregion=eu-west-1\n# x = y\n";
        assert_eq!(section(text, "default").get("aws_access_key_id").unwrap(), "A");
        assert_eq!(section(text, "work").get("region").unwrap(), "eu-west-1");
        assert!(section(text, "other").is_empty());
    }

    #[test]
    fn only_object_stores_are_taken() {
        for bad in ["", "s3://", "http://a/b", "gs://b/c", "s3:/b"] {
            assert_eq!(open_objects(bad).unwrap_err().kind, StoreErrorKind::Url, "{bad}");
        }
    }
}
