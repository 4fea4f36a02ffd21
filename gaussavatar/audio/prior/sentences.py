"""What the engines are given to say: sentences of our own, and made-up words for sounds that those lack."""

from __future__ import annotations

import numpy as np

SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "The baker put five warm loaves beside the open window.",
        "Please move the purple chairs away from the fireplace.",
        "My brother bought a map, a lamp and two pairs of boots.",
        "Nobody in the valley remembered such a mild November.",
        "She whispered the answer, but the whole room heard it.",
        "How far is it from the harbour to the old museum?",
        "We should have left before the first snow began to fall.",
        "A thin yellow cat was watching the birds above the barn.",
        "Both of these methods work, though neither of them is cheap.",
        "The council will vote on the new bridge this Thursday.",
        "Give me the measuring tape, and I will show you why.",
        "Five of the judges agreed, one of them left early.",
        "He has never eaten an oyster, a pear or a piece of liver.",
        "Good morning, and thank you for joining us on the programme.",
        "Their voices carried over the water until about half past four.",
        "The royal garden opens when the weather is fair enough.",
        "Could you bring some paper, a pencil and a sharp knife?",
        "An unusual noise came out of the engine all afternoon.",
        "I would rather wash the dishes than go to that meeting.",
        "Prices rose by three percent, and wages hardly moved at all.",
        "The bottom of the lake is full of bottles and broken bicycles.",
        "Which of you has put a beetle into my father's coffee?",
        "Young people from every region were chosen for the choir.",
        "Push the boat out, jump in and pull the rope towards you.",
        "It is possible that the museum will be moved to Portugal.",
        "The chef mixed butter, pepper, vinegar and a pinch of sugar.",
        "Whoever wrote this chapter must have loved the ocean.",
        "My aunt keeps bees, and her honey tastes of thyme.",
        "They argued about the cause of the fire for an hour.",
        "Above the village stands a tower with a view of the moor.",
        "What a pity that Bob and Pam could not come to the opera.",
        "Few visitors know that the theatre was once a bath house.",
    ),
    "fr": (
        "Bonsoir à tous, et merci de votre présence parmi nous.",
        "Le boulanger pose cinq pains chauds sur la table en bois.",
        "Ma voisine a vu un renard traverser le jardin hier soir.",
        "Il ne faut pas oublier de fermer la porte du bureau.",
        "Combien de jours restez-vous à la montagne cette année?",
        "Le vieux pont sera remplacé avant la fin du printemps.",
        "Nous avons bu un jus de pomme sous un grand parasol bleu.",
        "Un peu de poivre, du beurre, et la soupe sera parfaite.",
        "Les prix ont augmenté, mais les salaires n'ont guère bougé.",
        "Je pense que vous avez raison, pourtant je préfère attendre.",
        "La pluie tombe sur les toits et les rues sont vides.",
        "Chacun cherche une place près de la fenêtre ouverte.",
        "Le maire a promis une réponse avant le mois de juin.",
        "Quelle bonne idée d'avoir emmené les enfants au musée!",
        "Il neige souvent au nord, rarement au bord de la mer.",
        "Mon frère joue du violon, ma mère chante dans une chorale.",
        "On entendait des voix lointaines derrière le mur du fond.",
        "Huit ouvriers ont peint la façade en une seule journée.",
    ),
    "de": (
        "Guten Morgen, und schön, dass Sie wieder zuhören.",
        "Der Bäcker stellt fünf warme Brote auf den Tisch.",
        "Meine Schwester möchte im Frühling nach Bremen umziehen.",
        "Wo habt ihr denn die blauen Becher und Löffel versteckt?",
        "Über dem Dorf steht ein Turm mit Blick auf die Bucht.",
        "Ich würde lieber abwaschen als zur Versammlung gehen.",
        "Die Preise stiegen, aber die Löhne bewegten sich kaum.",
        "Am Abend ziehen Wolken auf, im Osten bleibt es trocken.",
        "Bitte bringen Sie ein Blatt Papier und einen Bleistift mit.",
        "Unser Nachbar pflegt Bienen und verkauft süßen Honig.",
        "Achtzehn Jugendliche wurden für den Chor ausgewählt.",
        "Ob die Brücke je gebaut wird, weiß niemand so genau.",
        "Er öffnete das Fenster, hörte kurz zu und lachte laut.",
        "Vielleicht sollten wir vorher den Bürgermeister fragen.",
        "Junge Füchse spielen früh am Morgen hinter der Mühle.",
        "Das Museum zeigt Möbel, Münzen und alte Postkarten.",
    ),
    "es": (
        "Buenos días, y gracias por acompañarnos esta mañana.",
        "El panadero puso cinco panes calientes sobre la mesa.",
        "Mi hermana quiere mudarse a Burgos en primavera.",
        "¿Cuánto falta para llegar al puerto viejo?",
        "Los precios subieron, pero los sueldos apenas se movieron.",
        "Un zorro joven cruzó el jardín y desapareció en la niebla.",
        "Prefiero lavar los platos que ir a esa reunión.",
        "El alcalde prometió una respuesta antes del jueves.",
        "La lluvia golpea las ventanas y la calle está vacía.",
        "Tráeme un papel, un lápiz y un cuchillo pequeño.",
        "Ocho obreros pintaron la fachada en un solo día.",
        "Nadie recordaba un invierno tan suave como aquel.",
    ),
    "zh": (
        "da4 jia1 zao3 shang5 hao3, huan1 ying2 shou1 ting1 wo3 men5 de5 jie2 mu4.",
        "wo3 ma1 ma5 mai3 le5 wu3 ge5 mian4 bao1 he2 yi4 ping2 niu2 nai3.",
        "ming2 tian1 bei3 fang1 you3 yu3, nan2 fang1 duo1 yun2.",
        "ta1 bu4 zhi1 dao4 wei4 shen2 me5 peng2 you3 dou1 zou3 le5.",
        "qing3 ba3 chuang1 hu5 guan1 shang4, wai4 mian4 feng1 hen3 da4.",
        "bo2 wu4 guan3 de5 men2 kou3 pai2 zhe5 hen3 chang2 de5 dui4 wu5.",
        "zhe4 ge5 wen4 ti2 bi3 jiao4 fu4 za2, xu1 yao4 shi2 jian1.",
        "hai2 zi5 men5 zai4 hu2 bian1 chang4 ge1, pao3 bu4, tiao4 wu3.",
        "lao3 shi1 rang4 xue2 sheng5 du2 yi2 bian4 ke4 wen2.",
        "xin1 de5 qiao2 liang2 qu4 nian2 jiu4 xiu1 hao3 le5.",
    ),
}
"""Written for this purpose. Mandarin is in pinyin, which the engine speaks without a dictionary."""

_SYLLABLES: dict[str, tuple[str, str, str]] = {
    "en": (
        "b p m f v w th s sh ch j k g d t n l r y h z bl br pl pr fl fr sp st sm sn sw tr dr kr kl gl gr th wh",
        "a e i o u ee oo oa ai ou ow ea oi ay er ar or aw igh ew air ire oy",
        ". . . b p m f v th s sh ch t d k g n l r ng nt mp st sk lf lm rb pt ft nd dge x",
    ),
    "fr": (
        "b p m f v ch j s z t d c g n l r gn bl br pl pr fl fr tr dr cl gr vr",
        "a é è i o u ou eu au oi in an on un ui ieu",
        ". . . . che me pe be ve te le re se ne ge",
    ),
    "de": (
        "b p m f w sch s z t d k g n l r j h bl br pl pf fl fr spr st tr kl gr zw schw",
        "a e i o u ä ö ü ei au eu ie ah oh uh öh üh",
        ". . . b p m f sch s t d k g n l r ch ng mpf st rt lb ft",
    ),
    "es": (
        "b p m f ch s z t d c g n l rr r j ll ñ bl br pl pr fl fr tr gr",
        "a e i o u ue ie ai au ei",
        ". . . n s r l d",
    ),
    "zh": (
        "b p m f d t n l g k h j q x zh ch sh r z c s",
        "a1 a2 e4 i3 ai4 ei2 ao3 ou4 an1 en2 ang4 eng2 u3 uo4 ui1 un2 ong1",
        ".",
    ),
    "it": ("b p m f v c ch sc gh gl gn s z t d n l r q br pr tr str", "a e i o u ia io uo ai", ". . . n l r"),
    "pt": ("b p m f v ch j s z t d c g n l r lh nh br pr tr", "a e i o u ão ei ou ã õe", ". . . s r l m"),
    "nl": (
        "b p m f v w sch s z t d k g n l r j h br pl vr sp",
        "a e i o u aa ee oo uu ie oe eu ui ij ou",
        ". . p m f s t k n l r ng cht",
    ),
    "pl": ("b p m f w cz sz rz ż ś ź ć s z c t d k g n l r j h ch", "a e i o u y ą ę ó", ". . . m p ł n ć sz k"),
    "sv": ("b p m f v sj kj s t d k g n l r j h br pl sk", "a e i o u y å ä ö", ". . m p n ng s t l r"),
    "ru": ("б п м ф в ш ж ч щ с з ц т д к г х н л р й", "а е и о у ы э ю я", ". . м п н т к с л р ш"),
    "tr": ("b p m f v ş ç c s z t d k g n l r y h", "a e ı i o ö u ü", ". . m p n t k ş l r z"),
}
"""Beginnings, middles and ends that a syllable is spelled with; a dot is nothing."""


def made_up_word(language: str, chance: np.random.Generator) -> str:
    """One to three random syllables that can be read aloud in a language."""
    starts, middles, ends = (part.split() for part in _SYLLABLES[language])
    n = int(chance.integers(1, 4))
    syllables = ["".join(part[chance.integers(len(part))] for part in (starts, middles, ends)) for _ in range(n)]
    return (" " if language == "zh" else "").join(syllables).replace(".", "")


def something_to_say(language: str, chance: np.random.Generator) -> str:
    """A sentence; in about half of them most words are made-up ones."""
    written = SENTENCES.get(language, ())
    if written and chance.random() < 0.45:
        return written[chance.integers(len(written))]
    if written and chance.random() < 0.7:
        words = written[chance.integers(len(written))].split()
        return " ".join(made_up_word(language, chance) if chance.random() < 0.6 else word for word in words)
    words = [made_up_word(language, chance) for _ in range(int(chance.integers(4, 10)))]
    if len(words) > 6:
        words[3] += ","
    return " ".join(words) + "."
