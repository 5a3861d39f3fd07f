//! Signatures of calls to the messenger, as Standard Webhooks defines them: HMAC-SHA256 of id, time and body.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::settings::WebhookSecret;

/// The keys of the signatures, the new one first.
#[derive(Debug, Clone)]
pub(crate) struct WebhookSigner(Vec<hmac::Key>);

impl WebhookSigner {
    /// Returns the signer of these secrets.
    pub(crate) fn new(secrets: &[WebhookSecret]) -> Self {
        Self(secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose())).collect())
    }

    /// Returns the value of `webhook-signature`, with one signature a key; `None`: there is no key.
    pub(crate) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> Option<String> {
        let signature = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body] {
                context.update(part);
            }
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        let all: Vec<String> = self.0.iter().map(signature).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, Sources};

    fn signer(secrets: &str) -> WebhookSigner {
        let text =
            format!("server.name = \"red\"\nmessenger.push = {{ url = \"http://127.0.0.1:1\", secret = {secrets:?} }}");
        let settings = Settings::load(&Sources::text(text, "")).expect("sound");
        WebhookSigner::new(&settings.messenger.push.expect("on").secrets)
    }

    #[test]
    fn signature_equals_published_vector() {
        let (id, seconds, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let one = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(one.sign(id, seconds, body).as_deref(), Some(expected));
        let two = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nold").sign(id, seconds, body).expect("signed");
        let (first, second) = two.split_once(' ').expect("two");
        assert_eq!((first, second.starts_with("v1,")), (expected, true));
        assert_eq!(Some(second), signer("old").sign(id, seconds, body).as_deref());
        assert_eq!(WebhookSigner::new(&[]).sign(id, seconds, body), None);
    }
}
