//! Parts of pages: props in, callbacks out. They call no server and know no session.

pub mod credentials_form;
pub mod frame;
pub mod lesson;
pub mod page;
pub mod session_list;

pub use credentials_form::{Credentials, CredentialsForm, FormError, Purpose};
pub use frame::{Frame, FrameLinks};
pub use lesson::Lesson;
pub use page::{Page, focus_soon, provide_page_focus};
pub use session_list::{Ending, SessionList};
