// Names of Fashion-MNIST's classes in other languages; any other name stays as it is.

export const CLASSES = {
  zh: {
    // a class may be called "constructor"
    __proto__: null,
    "T-shirt/top": "T恤/上衣",
    Trouser: "裤子",
    Pullover: "套头衫",
    Dress: "连衣裙",
    Coat: "外套",
    Sandal: "凉鞋",
    Shirt: "衬衫",
    Sneaker: "运动鞋",
    Bag: "包",
    "Ankle boot": "短靴",
  },
};
