// What the map says when an image is chosen, in its two languages; {x} is filled in.

const MAP_WORDS = {
  en: {
    hint: "Click an image. With the keys: arrows go to the next image in that direction, N and P to the next and the previous mistake, the surest first.",
    highlight: "Highlight",
    all: "all",
    previous: "‹ Mistake",
    next: "Mistake ›",
    around: "Around it on the map",
    wrong: "✗ predicted {predicted}, {share}",
    right: "✓ predicted {predicted}, {share}",
    label: "labelled {truth}",
    test: "test image {row}",
    validation: "validation image {row}",
  },
  zh: {
    hint: "点击一张图片。键盘：方向键移到该方向的下一张，N 和 P 键移到下一个和上一个错误，从最有把握的开始。",
    highlight: "突出显示",
    all: "全部",
    previous: "‹ 上一个错误",
    next: "下一个错误 ›",
    around: "地图上的周围",
    wrong: "✗ 预测为 {predicted}，{share}",
    right: "✓ 预测为 {predicted}，{share}",
    label: "标签：{truth}",
    test: "测试图片 {row}",
    validation: "验证图片 {row}",
  },
};
