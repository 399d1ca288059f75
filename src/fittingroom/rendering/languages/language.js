"use strict";
{
  // The page's second language: its texts stand in the page, and each element has the number of its own.
  const chinese = JSON.parse(document.getElementById("languages-texts").textContent);
  const elements = [...document.querySelectorAll("[data-zh]")].map((element) => ({ element, en: element.innerHTML, zh: chinese[element.dataset.zh] }));
  const names = [...document.querySelectorAll("[data-zh-names]")].flatMap((element) =>
    element.dataset.zhNames.split(" ").map((mark) => {
      const [name, number] = mark.split(":");
      return { element, name, en: element.getAttribute(name), zh: chinese[number] };
    }),
  );
  const buttons = document.querySelectorAll("#languages [data-language]");
  const show = (language) => {
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    for (const text of elements) text.element.innerHTML = text[language];
    for (const text of names) text.element.setAttribute(text.name, text[language]);
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.language === language));
  };
  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.language));
  document.getElementById("languages").hidden = false;
  show(navigator.language.startsWith("zh") ? "zh" : "en");
}
