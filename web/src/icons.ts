/** Line icons on a grid of 24. */

const PATHS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M8 5v14M16 5v14",
  undo: "M4 9h10a6 6 0 0 1 0 12h-3M8 5 4 9l4 4",
  redo: "M20 9H10a6 6 0 0 0 0 12h3M16 5l4 4-4 4",
  send: "M5 12h14M13 6l6 6-6 6",
  mic: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5 11a7 7 0 0 0 14 0M12 18v3",
  stop: "M7 7h10v10H7z",
  loop: "M4 12a7 7 0 0 1 7-7h7M15 2l3 3-3 3M20 12a7 7 0 0 1-7 7H6M9 22l-3-3 3-3",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  list: "M9 6h11M9 12h11M9 18h11M4 6v.2M4 12v.2M4 18v.2",
  face: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8.5 14.5a4.5 4.5 0 0 0 7 0M9 9.5v.5M15 9.5v.5",
  path: "M5 20a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM19 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM7 18h8a3.5 3.5 0 0 0 0-7H9a3.5 3.5 0 0 1 0-7h8",
  hand: "M8 13V5.5a1.5 1.5 0 0 1 3 0V11M11 11V4a1.5 1.5 0 0 1 3 0v7M14 11V5.5a1.5 1.5 0 0 1 3 0V14a7 7 0 0 1-7 7c-3 0-4.500-1.500-6-4.500l-1.300-2.600a1.500 1.500 0 0 1 2.600-1.500L8 14.500",
  graph: "M4 4v16h16M7 15l4-5 3 3 5-7",
  target: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM12 2v4M12 18v4M2 12h4M18 12h4",
  close_up: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 21a7 7 0 0 1 14 0",
  body: "M12 6a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM5 9h14M12 9v6M12 15l-3 7M12 15l3 7",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 17v.2",
  more: "M5 12v.2M12 12v.2M19 12v.2",
  close: "M6 6l12 12M18 6 6 18",
  note: "M12 8v5M12 16.5v.2M12 3 2.5 20h19z",
  plus: "M12 5v14M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  cut_start: "M9 4H6v16h3M13 12h7M17 8l4 4-4 4",
  cut_end: "M15 4h3v16h-3M11 12H4M7 8l-4 4 4 4",
  mirror: "M12 3v18M9 7l-6 10h6zM15 7l6 10h-6z",
  variants: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  key: "M12 4l8 8-8 8-8-8z",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  stretch: "M4 5v14M20 5v14M8 12h8M10.500 9.500 8 12l2.500 2.500M13.500 9.500 16 12l-2.500 2.500",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.500l3 2",
  open: "M4 7a2 2 0 0 1 2-2h4l2 2h6a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2z",
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  if (name === "play" || name === "stop") svg.classList.add("full");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
