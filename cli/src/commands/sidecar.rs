//! `vdom gateway`.
/// x
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}
pub(crate) async fn run(_: Arguments) -> Result<(), crate::exit::Failure> {
    Ok(())
}
