//! `vdom up`.
/// x
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}
pub(crate) async fn run(
    _: Arguments,
    _: &mut crate::output::Output,
) -> Result<(), crate::exit::Failure> {
    Ok(())
}
