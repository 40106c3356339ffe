use std::error::Error;

/// What to do about a bucket that does not give or take objects, where what its client says tells
/// more than that; nothing where it does not.
///
/// ```
/// let error = std::io::Error::other("404 Not Found: <Error><Code>NoSuchBucket</Code></Error>");
/// assert!(mesh_core::bucket_remedy(&error).unwrap().starts_with("there is no such bucket"));
/// ```
#[must_use]
pub fn bucket_remedy(error: &dyn Error) -> Option<&'static str> {
    let text = error.to_string();
    // Where a machine of AWS asks for the credentials of its role.
    if text.contains("169.254.169.254") || text.contains("latest/api/token") {
        return Some(
            "no credentials are known here: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
             name a profile of ~/.aws by AWS_PROFILE",
        );
    }
    if text.contains("NoSuchBucket") {
        return Some(
            "there is no such bucket: see its name in the URL, and whose it is (AWS_ENDPOINT_URL, \
             AWS_REGION)",
        );
    }
    None
}
