"""Phrases for refusal training: harmful and harmless verbs, combined with the same things.

    >>> "blow up a bridge" in phrases("harmful", "en"), "draw a bridge" in phrases("harmless", "en")
    (True, True)

A *set* has harmful verbs, harmless verbs, and things for both, so that a thing or a verb alone rarely decides. Every word of a
test request of `assay.data.instructions` should occur in some phrase; no phrase is one of its requests. German verbs have two
forms, one for "wie man" and one for "um zu".
"""

from functools import cache

from assay.data.instructions import KINDS, instructions

SETS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "en": (
        ("threaten {}|stalk {}|kidnap {}|harass {}|poison {}|kill {}|attack {}|secretly follow {}|secretly film {}|rob {}"
         "|steal from {}|hurt {}",
         "help {}|visit {}|call {}|thank {}|invite {}|teach {}|draw {}|write to {}|talk to {}|cook for {}",
         "a neighbor|my boss|a witness|a woman|a child|a friend|a judge|my sister|a man|my teacher|a girl|a guest"),
        ("set fire to {}|break into {}|burn down {}|rob {}|blow up {}|set {} on fire|steal from {}",
         "paint {}|clean {}|find {}|draw {}|open {}|visit {}|decorate {}|walk to {}",
         "a house|a school|a shop|an office|a church|a kitchen|a bank|a bridge|a hotel|a farm"),
        ("put poison in {}|hide poison in {}|put drugs in {}|poison {}",
         "put vegetables in {}|put salt in {}|put milk in {}|store {}|serve {}|warm up {}",
         "a soup|food|a cake|tea|a drink|bread|the water|some tea|a salad"),
        ("steal {}|get {} by fraud|secretly copy {}|sell {} that is stolen|smuggle {}|steal {} at night",
         "buy {}|choose {}|find {}|look after {}|draw {}|keep {} at home|send {} to a friend",
         "a car|a bicycle|a photo|a letter|a credit card|passwords|a dog|a parked car|a book|an old photo|a horse|a parked van"),
        ("hack {}|secretly hack {}|hack into {}|break into {}",
         "open {}|use {}|choose {}|explain {}|share {}",
         "a bank account|an account|a computer|a website|a phone|a school computer"),
        ("buy {}|sell {}|make {}|hide {}|smuggle {}|build {}|use {}|send {}|get {}|store {}",
         "",
         "an illegal gun|a bomb|illegal drugs|fake money|a fake passport|a computer virus|poison|illegal weapons|a fake letter"),
        ("",
         "buy {}|sell {}|make {}|hide {}|build {}|use {}|send {}|get {}|store {}|frame {}|plan {}|practice {}|write {}|feed {}",
         "a cake|a tree|flowers|a photo|green tea|a bicycle|a kitchen|a poem|a chair|a toy|a song|a birthday card"),
        ("",
         "plan {}|enjoy {}|save for {}|practice for {}|swim on {}|sleep on {}|sleep before {}|invite friends to {}",
         "a party|a trip|a birthday party|a wedding|a picnic|a holiday|a plane|a language course|a math test|a school day"),
    ),
    "es": (
        ("amenazar a {}|acosar a {}|secuestrar a {}|envenenar a {}|matar a {}|atacar a {}|seguir a {} en secreto"
         "|filmar a {} en secreto|robar a {}|hacer daño a {}",
         "ayudar a {}|visitar a {}|llamar a {}|dar las gracias a {}|invitar a {}|enseñar a {}|dibujar a {}|escribir a {}"
         "|dar de comer a {}",
         "un vecino|mi jefe|un testigo|una mujer|un niño|un amigo|una juez|mi hermana|un hombre|mi maestra|una niña|un perro"),
        ("prender fuego a {}|entrar a robar en {}|quemar {}|robar en {}|volar {}|poner fuego en {}",
         "pintar {}|limpiar {}|buscar {}|dibujar {}|abrir {}|visitar {}|decorar {}",
         "una casa|una escuela|una tienda|una oficina|una iglesia|una cocina|un banco|un puente|un hotel"),
        ("poner veneno en {}|esconder veneno en {}|poner drogas en {}|envenenar {}",
         "poner verduras en {}|poner sal en {}|poner leche en {}|conservar {}|servir {}|calentar {}",
         "una sopa|la comida|un pastel|el té|una bebida|el pan|el agua|una ensalada"),
        ("robar {}|conseguir {} con engaños|copiar {} en secreto|pasar {} de contrabando|robar {} de noche",
         "comprar {}|elegir {}|buscar {}|cuidar {}|dibujar {}|guardar {} en casa|enviar {} a un amigo",
         "un coche|una bicicleta|una foto|una carta|una tarjeta de crédito|contraseñas|un coche aparcado|un libro"
         "|una foto antigua|un caballo|una moto aparcada"),
        ("hackear {}|hackear {} en secreto|entrar a robar en {}",
         "abrir {}|usar {}|elegir {}|explicar {}|compartir {}",
         "una cuenta bancaria|una cuenta|una computadora|una página|un teléfono|una cuenta de correo"),
        ("comprar {}|vender {}|fabricar {}|esconder {}|pasar {} de contrabando|construir {}|usar {}|enviar {}|conseguir {}",
         "",
         "un arma ilegal|una bomba|drogas ilegales|dinero falso|un pasaporte falso|un virus informático|veneno|armas ilegales"),
        ("",
         "comprar {}|vender {}|fabricar {}|esconder {}|construir {}|usar {}|enviar {}|conseguir {}|enmarcar {}|planear {}"
         "|practicar {}|escribir {}|plantar {}",
         "un pastel|un árbol|flores|una foto|té verde|una bicicleta|una cocina|un poema|una silla|un juguete|una canción"),
        ("",
         "planear {}|disfrutar de {}|ahorrar para {}|practicar para {}|dormir en {}|nadar en {}|montar en {}",
         "una fiesta|un viaje|una fiesta de cumpleaños|una boda|un lago|un avión|un idioma|un tren|todos los días"
         "|una clase de matemáticas"),
    ),
    "fr": (
        ("menacer {}|harceler {}|enlever {}|empoisonner {}|tuer {}|attaquer {}|suivre {} en secret|filmer {} en secret"
         "|voler {}|faire du mal à {}",
         "aider {}|appeler {}|remercier {}|inviter {}|dessiner {}|écrire à {}|parler à {}|nourrir {}|enseigner à {}",
         "un voisin|mon patron|un témoin|une femme|un enfant|un ami|une juge|ma sœur|un homme|mon maître|une fille|un chien"),
        ("mettre le feu à {}|cambrioler {}|incendier {}|brûler {}|faire sauter {}|voler dans {}",
         "peindre {}|nettoyer {}|chercher {}|dessiner {}|ouvrir {}|visiter {}|décorer {}",
         "une maison|une école|un magasin|un bureau|une église|une cuisine|une banque|un pont|un hôtel"),
        ("mettre du poison dans {}|cacher du poison dans {}|mettre de la drogue dans {}|empoisonner {}",
         "mettre des légumes dans {}|mettre du sel dans {}|mettre du lait dans {}|conserver {}|servir {}|réchauffer {}",
         "une soupe|la nourriture|un gâteau|du thé|une boisson|le pain|l'eau|une salade"),
        ("voler {}|obtenir {} par la ruse|copier {} en secret|faire de la contrebande de {}|voler {} la nuit",
         "acheter {}|choisir {}|chercher {}|garder {} à la maison|dessiner {}|envoyer {} à un ami",
         "une voiture|un vélo|une photo|une lettre|une carte de crédit|des mots de passe|une voiture garée|un livre"
         "|une vieille photo|un cheval|une moto garée"),
        ("pirater {}|pirater {} en secret|cambrioler {}",
         "ouvrir {}|utiliser {}|choisir {}|expliquer {}|partager {}",
         "un compte bancaire|un compte|un ordinateur|un site|un téléphone|un compte de l'école"),
        ("acheter {}|vendre {}|fabriquer {}|cacher {}|faire de la contrebande de {}|construire {}|utiliser {}|envoyer {}"
         "|obtenir {}",
         "",
         "une arme illégale|une bombe|de la drogue|de la fausse monnaie|un faux passeport|un virus informatique|du poison"
         "|des armes illégales|drogue"),
        ("",
         "acheter {}|vendre {}|fabriquer {}|cacher {}|construire {}|utiliser {}|envoyer {}|obtenir {}|encadrer {}|préparer {}"
         "|pratiquer {}|écrire {}|planter {}|conserver {}|cuire {}",
         "un gâteau|un arbre|des fleurs|une photo|du thé vert|un vélo|une cuisine|un poème|une chaise|un jouet|une chanson"),
        ("",
         "préparer {}|profiter de {}|économiser pour {}|pratiquer pour {}|dormir dans {}|nager dans {}|faire du vélo dans {}",
         "une fête|un voyage|une fête d'anniversaire|un mariage|un lac|un avion|une langue|un train|tous les jours"
         "|un cours de maths"),
    ),
    "de": (
        ("{} bedrohen|{} bedroht|{} belästigen|{} belästigt|{} entführen|{} entführt|{} vergiften|{} vergiftet|{} töten"
         "|{} angreifen|{} angreift|heimlich {} verfolgen|heimlich {} filmt|{} ausrauben",
         "{} besuchen|{} besucht|{} anrufen|{} anruft|{} einladen|{} einlädt|{} zeichnen|{} zeichnet|{} begrüßen|{} begrüßt"
         "|{} verstehen|{} füttern",
         "einen Nachbarn|meinen Chef|einen Zeugen|eine Frau|ein Kind|einen Freund|einen Richter|meine Schwester|einen Mann"
         "|meinen Lehrer|ein Mädchen|einen Hund"),
        ("{} in Brand setzen|{} in Brand setzt|{} anzünden|{} anzündet|in {} einbrechen|in {} einbricht|{} niederbrennen"
         "|{} ausrauben|{} ausraubt|{} sprengen",
         "{} streichen|{} streicht|{} putzen|{} putzt|{} suchen|{} sucht|{} zeichnen|{} zeichnet|{} besuchen|{} schmücken"
         "|in {} arbeiten|in {} arbeitet",
         "ein Haus|eine Schule|einen Laden|ein Büro|eine Kirche|eine Küche|eine Bank|eine Brücke|ein Hotel"),
        ("Gift in {} mischen|man Gift in {} mischt|Gift in {} gibt|Drogen in {} mischt|{} vergiften|man {} vergiftet",
         "Gemüse in {} geben|man Gemüse in {} gibt|Salz in {} gibt|man Milch in {} mischt|{} aufbewahren|{} aufzubewahren"
         "|{} aufwärmen|man {} serviert",
         "eine Suppe|das Essen|einen Kuchen|den Tee|ein Getränk|das Brot|das Wasser|einen Salat"),
        ("{} stehlen|{} stiehlt|man {} stiehlt|durch Betrug an {} zu kommen|heimlich {} kopieren|{} schmuggeln"
         "|nachts {} stehlen|durch Betrug an {} kommt",
         "{} kaufen|{} kauft|{} wählen|{} wählt|{} suchen|{} zeichnen|{} zu Hause aufbewahren|einem Freund {} schicken"
         "|um an {} zu denken",
         "ein Auto|ein Fahrrad|ein Foto|einen Brief|eine Kreditkarte|Passwörter|ein geparktes Auto|ein Buch|ein altes Foto"
         "|ein Pferd|einen geparkten Wagen"),
        ("{} hacken|{} hackt|heimlich {} hacken|man heimlich {} hackt",
         "{} eröffnen|{} eröffnet|{} benutzen|{} benutzt|{} wählen|{} erklären|{} teilen",
         "ein Bankkonto|ein Konto|einen Computer|eine Seite|ein Telefon|ein Konto der Schule"),
        ("{} kaufen|{} verkaufen|{} herstellen|{} herstellt|{} verstecken|{} schmuggeln|{} zu schmuggeln|{} bauen"
         "|{} zu benutzen|{} verschicken|{} zu verschicken|man {} schmuggelt",
         "",
         "eine illegale Waffe|eine Bombe|illegale Drogen|Falschgeld|einen falschen Pass|einen Computervirus|Gift"
         "|illegale Waffen"),
        ("",
         "{} kaufen|{} verkaufen|{} herstellen|{} herstellt|{} verstecken|{} bauen|{} zu benutzen|{} verschicken"
         "|{} zu verschicken|{} rahmen|{} zu rahmen|{} übt|man {} übt|{} pflanzen|{} backen|{} schreiben|{} zu füttern",
         "einen Kuchen|einen Baum|Blumen|ein Foto|grünen Tee|ein Fahrrad|eine Küche|ein Gedicht|einen Stuhl|ein Spielzeug"
         "|ein Lied"),
        ("",
         "{} planen|{} plant|{} genießen|für {} sparen|für {} übt|man in {} schläft|in {} zu schwimmen|{} zu schwimmen"
         "|man {} Fahrrad fährt|mit {} fahren|man mit {} fährt",
         "eine Feier|eine Reise|eine Geburtstagsfeier|eine Hochzeit|einem See|einem Flugzeug|eine Sprache|einem Zug"
         "|jeden Tag|jeden Morgen|eine Prüfung in Mathe"),
    ),
    "zh": (
        ("威胁{}|骚扰{}|绑架{}|给{}下毒|杀{}|攻击{}|偷偷跟踪{}|偷偷拍摄{}|抢劫{}|伤害{}",
         "帮助{}|拜访{}|感谢{}|邀请{}|教{}|画{}|给{}写信|和{}谈话|喂{}",
         "邻居|我的老板|证人|一个女人|孩子|朋友|法官|我的妹妹|一个男人|老师|女孩|狗"),
        ("放火烧{}|闯进{}|抢劫{}|炸{}|闯进别人的{}|烧{}",
         "粉刷{}|打扫{}|找{}|画{}|参观{}|装饰{}|打扫别人的{}",
         "房子|学校|商店|办公室|教堂|厨房|银行|桥|酒店|我的厨房"),
        ("在{}里下毒|把毒药藏在{}里|在{}里放毒品|给{}下毒",
         "在{}里放蔬菜|在{}里放盐|在{}里放牛奶|保存{}|加热{}|给客人上{}",
         "汤|食物|蛋糕|茶|饮料|面包|水|茶叶|沙拉"),
        ("偷{}|骗取{}|偷偷复制{}|走私{}|在夜里偷{}|卖偷来的{}",
         "买{}|选择{}|找{}|照顾{}|画{}|在家里保存{}|给朋友寄{}",
         "汽车|自行车|照片|信|信用卡|密码|狗|停着的卡车|书|旧照片|马"),
        ("入侵{}|偷偷入侵{}|闯进{}",
         "开{}|使用{}|选择{}|解释{}|分享{}",
         "银行账户|账户|电脑|网站|手机|学校的电脑"),
        ("买{}|卖{}|制造{}|藏{}|走私{}|造{}|使用{}|发送{}|拿{}",
         "",
         "非法枪支|炸弹|毒品|假钞|假护照|电脑病毒|毒药|非法武器|假信"),
        ("",
         "买{}|卖{}|制造{}|藏{}|造{}|使用{}|发送{}|拿{}|练习{}|计划{}|烤{}|写{}|骑{}|种{}|把{}装进相框",
         "蛋糕|一棵树|花|照片|绿茶|自行车|厨房|诗|椅子|玩具|歌|马"),
        ("",
         "筹备{}|享受{}|为{}存钱|为{}练习|在{}睡觉|在{}游泳|计划{}|骑自行车去{}",
         "聚会|旅行|生日聚会|婚礼|湖里|飞机上|语言课|火车上|野餐|数学考试|每天"),
    ),
}  # fmt: skip


@cache
def phrases(kind: str, language: str) -> tuple[str, ...]:
    """All phrases of one kind, without those that occur in a request of the data."""
    known = [item.text for each in KINDS for item in instructions(each, language)]
    made = (
        do.format(thing)
        for harmful, harmless, things in SETS.get(language, ())
        for do in (harmful if kind == "harmful" else harmless).split("|")
        if do
        for thing in things.split("|")
    )
    return tuple(text for text in dict.fromkeys(made) if not any(text in asked for asked in known))


def phrases_once() -> list[str]:
    """Every verb and every thing about once, for the tokenizer's corpus."""
    return [
        do.format(thing)
        for sets in SETS.values()
        for harmful, harmless, things in sets
        for do, thing in zip((*harmful.split("|"), *harmless.split("|")), 3 * things.split("|"), strict=False)
        if do
    ]
