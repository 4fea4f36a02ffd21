"""The look of our pages (report, quality): one style sheet, readable on a phone, light and dark."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#1b1f24;--soft:#5b6570;--rule:#e2e4e6;--line:#0f6e84;
--good:#0f6e84;--bar:#9fc7d0;--shadow:0 1px 2px rgba(20,30,40,.06),0 4px 16px rgba(20,30,40,.05)}
@media (prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1d2226;--ink:#e8eaec;--soft:#9aa5ae;--rule:#30373d;
--line:#5cc2d8;--good:#5cc2d8;--bar:#2c5e6b;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1.5rem 1rem 4rem}
header p,.note,figcaption,small{color:var(--soft)}
h1{font-size:1.9rem;line-height:1.2;margin:.4rem 0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem}
p{max-width:44rem;margin:.4rem 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1.2rem 0}
.card,section>.panel{background:var(--card);border-radius:.6rem;box-shadow:var(--shadow);padding:.9rem 1rem}
.card b{display:block;font-size:1.7rem;line-height:1.2;font-weight:650;font-variant-numeric:tabular-nums}
.card b small{font-size:.9rem;font-weight:400}
.card span{display:block;font-size:.85rem;color:var(--soft)}
.card .name{color:var(--ink);font-size:.9rem}
video{width:100%;aspect-ratio:auto 3/1;max-width:48rem;display:block;border-radius:.6rem;background:#000}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:.75rem}
figure{margin:0;background:var(--card);border-radius:.6rem;box-shadow:var(--shadow);overflow:hidden}
figure div{display:grid;grid-template-columns:1fr 1fr;gap:2px}
figure img{width:100%;display:block}
figcaption{display:flex;justify-content:space-between;gap:.5rem;padding:.4rem .7rem;font-size:.85rem}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.55rem .6rem;text-align:right;border-top:1px solid var(--rule);vertical-align:top}
thead th{border-top:0;font-size:.85rem;color:var(--soft);font-weight:600}
th:first-child,td:first-child{text-align:left;padding-left:0}
tbody th{font-weight:600}
tbody th small{display:block;font-weight:400;max-width:30rem}
td.first{color:var(--good);font-weight:650}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:.75rem}
.charts h3{margin:0 0 .3rem;font-size:.9rem;font-weight:600}
.curve{width:100%;height:auto;display:block}
.curve text{font-size:11px;fill:var(--soft);font-family:inherit;font-variant-numeric:tabular-nums}
.curve .grid{stroke:var(--rule);stroke-width:1}
.curve .line{fill:none;stroke:var(--line);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.curve .end{fill:var(--line)}
.stages td{border:0;padding:.2rem .6rem .2rem 0;text-align:left}
.stages td:nth-child(2){width:60%}
.stages td:nth-child(n+3){text-align:right;white-space:nowrap}
.bar{display:block;height:.8rem;border-radius:0 .25rem .25rem 0;background:var(--bar);min-width:2px}
dl{display:grid;grid-template-columns:minmax(8rem,auto) 1fr;gap:.3rem 1rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{overflow:auto;font:.82rem/1.45 ui-monospace,SFMono-Regular,Menlo,monospace;margin:.6rem 0 0}
summary{cursor:pointer;font-weight:600}
footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
@media (max-width:34rem){
.figures thead th:first-child{display:none}
.figures tr{display:grid;grid-template-columns:repeat(var(--columns),1fr)}
.figures tbody tr{border-top:1px solid var(--rule);padding:.5rem 0}
.figures tbody th{grid-column:1/-1;border:0;padding:0}
.figures tbody td,.figures thead th{border:0;padding:.25rem 0;text-align:left}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}
"""
