"""How known sets are recognised. Apart from what fetches them: opening a model asks this, and needs no network."""

from fittingroom.data.dataset import Fingerprint

FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

KNOWN_FINGERPRINTS = {
    "fashion-mnist train (official)": Fingerprint(
        content="e38dc576453cfa0f6572537648ec62dbea68e6009ce1fed9c075de85e0576236",
        images="78a0a91f4c9b62c90d82ceb75cc3186a7379c7d0e48f1b434090c16b684c1965",
        order="39478a0255fee8bfae2eb837bdd834e4613e211b77f1e00361c088d2e34dc2de",
    ),
    "fashion-mnist test (official)": Fingerprint(
        content="a629c445c8c6cdee246591fa5ca1ce799a24bdc90f89403dc741415920c4e0ee",
        images="652b79623c4d23adf8513e2927b1a9c58f82f9efa79436e695154d28cfe117d2",
        order="7f50291b38121c2ac72b0f68ac716a8b581b3d67c0ee5d469ed92105ae43262f",
    ),
    "sample train": Fingerprint(
        content="d93af0df7ee1cfaef969d2a1b3e0f8bddead008a4891079bc37b94dc61107f68",
        images="70af294f350f82460be1f8daec78d30d48fcc949455301e21e959105917c6844",
        order="d857a75895b50faa7e7f01f4402ed635adbd5dfcdedef2126dfa81c785678ee0",
    ),
    "sample test": Fingerprint(
        content="66325a438111de814de400f8f12b9b816b3d3ea760a5a96cdfc2bb493a58ba65",
        images="577e5affeb094e5895be2a2bb084a6a6a51676252f277935da8afbfcc5150d54",
        order="0adbb092e2b5c97ef0f3c71ced722c7fbf04b4f20fa9cc0c4b6f33d750034ca9",
    ),
}
