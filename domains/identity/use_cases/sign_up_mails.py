"""What the mails about signing up say: nothing that whoever asked wrote, since they may write it to somebody else's address."""

from html import escape

from domains.identity.model.names import Locale
from domains.identity.model.sign_up import SignUp
from domains.identity.ports.mailbox_proofs import MailboxProof
from domains.identity.ports.mailer import Mail

_VERIFY = {
    Locale.ENGLISH: (
        "Confirm your e-mail address for Luneo",
        """Hello,

somebody, hopefully you, wants a Luneo account for this address. Confirm it within 24 hours:

{link}

or type this code where you signed up: {code}

If it was not you, do nothing: without this step there is no account.
""",
    ),
    Locale.FRENCH: (
        "Confirmez votre adresse e-mail pour Luneo",
        """Bonjour,

quelqu’un, vous sans doute, demande un compte Luneo pour cette adresse. Confirmez-la dans les 24 heures :

{link}

ou saisissez ce code là où vous vous êtes inscrit : {code}

Si ce n’était pas vous, ne faites rien : sans cette étape, aucun compte n’existe.
""",
    ),
}
_EXISTS = {
    Locale.ENGLISH: (
        "You already have a Luneo account",
        """Hello,

somebody, hopefully you, tried to sign up to Luneo with this address. It has an account already, at this installation:

{link}

If it was not you, do nothing: your account is as it was.
""",
    ),
    Locale.FRENCH: (
        "Vous avez déjà un compte Luneo",
        """Bonjour,

quelqu’un, vous sans doute, a voulu s’inscrire à Luneo avec cette adresse. Elle a déjà un compte, sur cette installation :

{link}

Si ce n’était pas vous, ne faites rien : votre compte est inchangé.
""",
    ),
}


def verification_mail(sign_up: SignUp, proof: MailboxProof, *, public_url: str) -> Mail:
    """Return the mail with the link and the code. `public_url` is our own address, without a slash at its end."""
    return _mail(sign_up, _VERIFY[sign_up.locale], link=f"{public_url}/verify-email?token={proof.token}", code=proof.code)


def account_exists_mail(sign_up: SignUp, *, public_url: str) -> Mail:
    """Return the mail to somebody who signs up a second time."""
    return _mail(sign_up, _EXISTS[sign_up.locale], link=public_url, code="")


def _mail(sign_up: SignUp, words: tuple[str, str], *, link: str, code: str) -> Mail:
    subject, body = words
    text = body.format(link=link, code=code)
    html = body.format(link=f'<a href="{escape(link)}">{escape(link)}</a>', code=f"<strong>{escape(code)}</strong>")
    paragraphs = "".join(f"<p>{paragraph.strip()}</p>" for paragraph in html.split("\n\n"))
    language, title = sign_up.locale.value, escape(subject)
    return Mail(
        to=sign_up.email,
        subject=subject,
        text=text,
        html=f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{title}</title><body>{paragraphs}</body></html>',
        reference=f"sign_up:{sign_up.id}",
    )
