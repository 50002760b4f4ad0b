//! Questions to whoever opens an archive: the passphrase of an identity file, the PIN of a plugin's token.

use std::sync::Arc;

use zeroize::Zeroizing;

/// Somebody who can be asked.
pub trait Prompt: Send + Sync {
    /// Shows a message, such as that a token is to be touched.
    fn say(&self, message: &str);

    /// Asks for a secret; `None` when there is nobody to ask, or no answer.
    fn secret(&self, what: &str) -> Option<Zeroizing<String>>;
}

/// A prompt that is shared by all identities of a run.
pub type SharedPrompt = Arc<dyn Prompt>;

/// Nobody: whatever needs an answer fails.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Prompt for Nobody {
    fn say(&self, _: &str) {}

    fn secret(&self, _: &str) -> Option<Zeroizing<String>> {
        None
    }
}

/// A prompt in the form that age's plugins and protected SSH keys take.
#[derive(Clone)]
pub(super) struct ForAge(pub(super) SharedPrompt);

impl age::Callbacks for ForAge {
    fn display_message(&self, message: &str) {
        self.0.say(message);
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<age::secrecy::SecretString> {
        self.0.secret(description).map(|secret| age::secrecy::SecretString::from(secret.as_str().to_owned()))
    }
}
