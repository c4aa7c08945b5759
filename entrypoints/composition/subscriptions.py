"""Which consumer hears which event. The one list."""

from contracts.conversational_ai.events import (
    KnowledgeBaseDeleted,
    KnowledgeSourceAdded,
    KnowledgeSourceDeleted,
    KnowledgeSourceOutdated,
    KnowledgeSourceReplaced,
    KnowledgeSourceVersionRetired,
)
from contracts.identity.events import SignUpRequested
from domains.conversational_ai.use_cases.on_knowledge_deleted import ForgetKnowledgeBase, ForgetOldContent, ForgetSource
from domains.conversational_ai.use_cases.on_knowledge_source_added import IndexSource
from domains.identity.use_cases.on_sign_up_requested import SendSignUpMail
from entrypoints.composition.foundation import Subscriptions
from entrypoints.consumers.dispatcher import Subscription

SUBSCRIPTIONS = Subscriptions(
    (
        Subscription(consumer="identity.send_sign_up_mail", event=SignUpRequested, handler=SendSignUpMail, queue="mail"),
        Subscription(
            consumer="conversational_ai.index_source", event=KnowledgeSourceAdded, handler=IndexSource, queue="indexing", ordered=True
        ),
        Subscription(consumer="conversational_ai.renew_source", event=KnowledgeSourceOutdated, handler=IndexSource, queue="indexing"),
        # not in order: new content must not wait for the old one's indexing that was given up
        Subscription(
            consumer="conversational_ai.index_replaced_source", event=KnowledgeSourceReplaced, handler=IndexSource, queue="indexing"
        ),
        Subscription(consumer="conversational_ai.forget_old_content", event=KnowledgeSourceVersionRetired, handler=ForgetOldContent),
        Subscription(consumer="conversational_ai.forget_source", event=KnowledgeSourceDeleted, handler=ForgetSource),
        Subscription(consumer="conversational_ai.forget_knowledge_base", event=KnowledgeBaseDeleted, handler=ForgetKnowledgeBase),
    )
)
