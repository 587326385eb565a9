package seed

// A culture has names, texts in one language, and a mail domain. Every domain ends in example, which nobody can own
// (RFC 2606).
type culture struct {
	share       int    // how many of 100 people belong to the culture
	domain      string // the domain of its addresses; no two cultures share one
	given       string // names, separated by spaces; no two cultures share a family name
	family      string // after "=" comes the ASCII form, if it is not the name without its accents
	familyFirst bool   // the family name precedes the given name, with nothing between them
	titles      []string
	sentences   []string
	gap         string // the text between two sentences
}

// cultures returns all cultures. A different order gives different people for the same seed.
func cultures() []culture {
	return []culture{
		{
			share: 20, domain: "mail.example",
			given: "Ada Alice Amelia Arthur Beatrice Charles Clara Daniel Dorothy Edith Eleanor Emily Florence Frank George " +
				"Grace Hannah Harold Helen Henry Isabel Jack James Jane Lucy Margaret Oliver Rose Samuel Walter",
			family: "Abbott Ashworth Atkins Barlow Bennett Blackwood Bradley Carter Chapman Clarke Cooper Dalton Ellis Fletcher " +
				"Graham Harris Hughes Jennings Knight Lawson Marsh Norton Palmer Parker Quinn Reynolds Shaw Turner Walsh Wright",
		},
		{
			share: 8, domain: "courriel.example", gap: " ",
			given: "Aurélie Benoît Camille Cédric Chloé Élodie Étienne Fabien Françoise Gaëlle Hélène Jérôme Léa Loïc Maëlys " +
				"Mathieu Noémie Rémi Théo Zoé",
			family: "Beaumont Bélanger Besançon Charpentier Chevalier Côté Delacroix Desprès Dubois Dupré Faucher Fournier " +
				"Garçon Girard Lefèvre Lévêque Moreau Perrault Rousseau Thibaut",
			titles: []string{
				"Un matin au marché", "Ce que j'ai appris cette année", "Petit éloge de la lenteur", "Notes de voyage",
			},
			sentences: []string{
				"Il pleuvait depuis trois jours, et personne ne s'en plaignait.",
				"Le café était déjà froid quand la conversation a commencé.",
				"On apprend beaucoup en regardant les autres travailler.", "La recette est simple, mais elle demande du temps.",
				"Demain, nous recommencerons autrement.",
			},
		},
		{
			share: 8, domain: "post.example", gap: " ",
			given: "Anneliese Björn=bjoern Dörte=doerte Friederike Günter=guenter Heike Jörg=joerg Jürgen=juergen Käthe=kaethe " +
				"Lüder=lueder Lukas Mareike Matthias Ottilie Rüdiger=ruediger Sabine Sönke=soenke Ulrike Wiebke Wolfgang",
			family: "Bäcker=baecker Böhm=boehm Brückner=brueckner Dürr=duerr Fröhlich=froehlich Groß Grünwald=gruenwald " +
				"Hübner=huebner Jäger=jaeger Köhler=koehler Krüger=krueger Löwe=loewe Möller=moeller Müller=mueller " +
				"Schäfer=schaefer Schröder=schroeder Strauß Vogelsang Weiß Zöllner=zoellner",
			titles: []string{
				"Ein Spaziergang am Fluss", "Was vom Sommer blieb", "Über das Aufschieben", "Zwölf Übungen für Anfänger",
			},
			sentences: []string{
				"Am Morgen lag Nebel über den Wiesen.", "Niemand wusste, wer den Schlüssel hatte.",
				"Wir haben es dreimal versucht und viel dabei gelernt.", "Die größte Überraschung kam zum Schluss.",
				"Man braucht dafür weniger, als man denkt.",
			},
		},
		{
			share: 8, domain: "correo.example", gap: " ",
			given: "Adrián Alejandra Ángel Begoña Candela Carmen Elías Esperanza Inés Íñigo Javier Jesús José Lucía Macarena " +
				"Martín Mónica Raúl Sofía Tomás",
			family: "Álvarez Benítez Castaño Díaz Domínguez Fernández García Gómez Gutiérrez Hernández Ibáñez Jiménez López " +
				"Márquez Muñoz Núñez Peña Rodríguez Sánchez Zúñiga",
			titles: []string{
				"Apuntes de un viaje al sur", "¿Por qué escribimos?", "La cocina de mi abuela", "Mañana será otro día",
			},
			sentences: []string{
				"El tren llegó tarde, como siempre.", "Aprendí más de los errores que de los libros.",
				"La plaza estaba llena de niños y palomas.", "No hace falta mucho para empezar.",
				"Volveremos cuando florezcan los almendros.",
			},
		},
		{
			share: 5, domain: "nordpost.example", gap: " ",
			given: "Anders Åsa Astrid Bjørn Dagný Einar Eyþór Freyja Guðrún Håkan Ingrid Jökull Kåre Lena Märta Ólafur Pål " +
				"Signe Søren Þórdís",
			family: "Åkesson Andersen Bergström Blöndal Dahl Ekström Fjeld Grønberg Håkansson Holmgren Jørgensen Kjær Lindqvist " +
				"Löfgren Nygård Øverland Rønning Sjöberg Strömberg Þorvaldsson",
			titles: []string{"En höst vid havet", "Så lagar jag soppa", "Tankar om tystnad", "Första snön"},
			sentences: []string{
				"Det blåste hela natten men huset stod kvar.", "Vi åt smörgåsar på bryggan och sa inte mycket.",
				"Den gamla båten läcker ännu.", "Jag skulle göra om det i morgon.", "Allt tar längre tid än man tror.",
			},
		},
		{
			share: 6, domain: "poczta.example", gap: " ",
			given: "Agnieszka Bartłomiej Bożena Celina Danuta Elżbieta Grażyna Halina Jarosław Jędrzej Kasia Łucja Małgorzata " +
				"Michał Paweł Rafał Stanisław Świętosława Wacław Żaneta",
			family: "Błaszczyk Cieślak Dąbrowski Głowacki Jabłoński Kołodziej Król Kwiatkowski Łuczak Majchrzak Nowak Ostrowski " +
				"Pawłowski Piątek Różański Sikora Szczepański Wójcik Zając Żukowski",
			titles: []string{"Notatki z podróży", "Jak upiec dobry chleb", "Zima w mieście", "Dlaczego warto czytać"},
			sentences: []string{
				"Śnieg padał przez cały wieczór.", "Nauczyliśmy się tego dopiero za trzecim razem.",
				"Książka leżała na stole obok filiżanki herbaty.", "Nie trzeba wiele, żeby zacząć.",
				"Jutro spróbujemy jeszcze raz.",
			},
		},
		{
			share: 5, domain: "posta.example", gap: " ",
			given: "Ayşe Barış Çağla Deniz Elif Emre Fatma Gökhan Gülşen Hüseyin Kerem Mehmet Nazlı Oğuz Özge Selin Şule Tolga " +
				"Umut Yağmur",
			family: "Akbaş Arslan Aydın Başaran Çelik Demir Doğan Erdoğdu Güneş Kılıç Korkmaz Öztürk Polat Şahin Sarı Taşkın " +
				"Toprak Uçar Yıldız Yüksel",
			titles: []string{"Deniz kıyısında bir gün", "Neden yazıyorum", "Küçük şeylerin önemi", "Bir çayın hikâyesi"},
			sentences: []string{
				"Sabah erkenden yola çıktık.", "Yağmur bütün gün dinmedi.", "Eski defterlerimi yeniden okudum.",
				"Başlamak için çok şey gerekmiyor.", "Yarın yeniden deneyeceğiz.",
			},
		},
		{
			share: 4, domain: "thu.example", familyFirst: true, gap: " ",
			given:  "Ánh Bảo Châu Dũng Đức Giang Hà Hiếu Hương Khánh Lan Linh Minh Ngọc Phúc Quân Sơn Thảo Trang Tuấn",
			family: "Bùi Cao Đặng Đinh Đỗ Dương Hồ Hoàng Huỳnh Lê Lương Mai Ngô Nguyễn Phạm Phan Tô Trần Trịnh Vũ",
			titles: []string{"Một ngày ở Hà Nội", "Ghi chép về cà phê", "Những điều tôi học được", "Mùa mưa năm ấy"},
			sentences: []string{
				"Trời mưa suốt buổi chiều.", "Chúng tôi ngồi uống cà phê bên đường.", "Tôi đọc lại những trang sổ cũ.",
				"Bắt đầu không khó như ta nghĩ.", "Ngày mai chúng tôi sẽ thử lại.",
			},
		},
		{
			share: 5, domain: "tachydromio.example", gap: " ",
			given: "Αγγελική=aggeliki Αθηνά=athina Αλέξανδρος=alexandros Βασίλης=vasilis Γιώργος=giorgos Δέσποινα=despoina " +
				"Δημήτρης=dimitris Ειρήνη=eirini Ελένη=eleni Ζωή=zoi Θάνος=thanos Ιωάννα=ioanna Καλλιόπη=kalliopi Κώστας=kostas " +
				"Λευτέρης=lefteris Μαρία=maria Νίκος=nikos Πέτρος=petros Σοφία=sofia Φώτης=fotis",
			family: "Αγγελόπουλος=aggelopoulos Βλάχος=vlachos Γεωργίου=georgiou Δημητρίου=dimitriou Ζαχαρίου=zachariou " +
				"Θεοδώρου=theodorou Ιωαννίδης=ioannidis Καραγιάννης=karagiannis Κωνσταντίνου=konstantinou Λάμπρου=lamprou " +
				"Μακρής=makris Νικολάου=nikolaou Οικονόμου=oikonomou Παπαδάκης=papadakis Παπαδόπουλος=papadopoulos Ράπτης=raptis " +
				"Σταθόπουλος=stathopoulos Τσιρίγος=tsirigos Φωτίου=fotiou Χατζής=chatzis",
			titles: []string{"Σημειώσεις από ένα ταξίδι", "Ένα πρωί στη θάλασσα", "Γιατί διαβάζουμε", "Η συνταγή της γιαγιάς"},
			sentences: []string{
				"Ο ήλιος βγήκε πίσω από το βουνό.", "Μάθαμε πολλά από τα λάθη μας.", "Το καφενείο ήταν γεμάτο φωνές.",
				"Δεν χρειάζονται πολλά για να αρχίσεις.", "Αύριο θα ξαναπροσπαθήσουμε.",
			},
		},
		{
			share: 9, domain: "pochta.example", gap: " ",
			given: "Алексей=aleksey Анастасия=anastasia Борис=boris Вера=vera Виктор=viktor Галина=galina Дмитрий=dmitry " +
				"Екатерина=ekaterina Жанна=zhanna Иван=ivan Ксения=ksenia Лариса=larisa Людмила=lyudmila Максим=maksim " +
				"Наталья=natalya Олег=oleg Павел=pavel Светлана=svetlana Фёдор=fyodor Юлия=yulia",
			family: "Белых=belykh Бондаренко=bondarenko Гончаренко=goncharenko Долгих=dolgikh Заяц=zayats Коваленко=kovalenko " +
				"Король=korol Кузьменко=kuzmenko Литвиненко=litvinenko Лысенко=lysenko Марченко=marchenko Мороз=moroz " +
				"Петренко=petrenko Романенко=romanenko Савченко=savchenko Седых=sedykh Сидоренко=sidorenko Ткаченко=tkachenko " +
				"Черных=chernykh Шевченко=shevchenko",
			titles: []string{"Заметки о путешествии", "Почему мы пишем", "Зима в деревне", "Как испечь хлеб"},
			sentences: []string{
				"Снег шёл весь вечер.", "Поезд опоздал, как всегда.", "Мы многому научились на своих ошибках.",
				"Чтобы начать, нужно совсем немного.", "Завтра попробуем ещё раз.",
			},
		},
		{
			share: 6, domain: "youjian.example", familyFirst: true,
			given: "伟=wei 芳=fang 秀英=xiuying 敏=min 静=jing 强=qiang 磊=lei 洋=yang 艳=yan 勇=yong 晓明=xiaoming 子涵=zihan 雨桐=yutong " +
				"浩然=haoran 思远=siyuan 嘉怡=jiayi 文博=wenbo 梓萱=zixuan 建国=jianguo 海燕=haiyan",
			family: "王=wang 李=li 张=zhang 刘=liu 陈=chen 杨=yang 黄=huang 赵=zhao 吴=wu 周=zhou 徐=xu 孙=sun 马=ma 朱=zhu 胡=hu 郭=guo " +
				"何=he 林=lin 高=gao 罗=luo",
			titles: []string{"旅行笔记", "我为什么写作", "雨天的早晨", "学做面包的一年"},
			sentences: []string{
				"雨下了一整天。", "我们在路边喝了一壶茶。", "从错误里学到的比书里多。", "开始并不像想象的那么难。", "明天再试一次。",
			},
		},
		{
			share: 6, domain: "yubin.example", familyFirst: true,
			given: "さくら=sakura 陽菜=hina 美咲=misaki 結衣=yui 葵=aoi 蓮=ren 翔太=shota 大輔=daisuke 健一=kenichi 直樹=naoki 恵子=keiko " +
				"由美=yumi ひかり=hikari 拓海=takumi 千尋=chihiro 楓=kaede まゆみ=mayumi 誠=makoto 香織=kaori ケンジ=kenji",
			family: "佐藤=sato 鈴木=suzuki 高橋=takahashi 田中=tanaka 渡辺=watanabe 伊藤=ito 山本=yamamoto 中村=nakamura 小林=kobayashi " +
				"加藤=kato 吉田=yoshida 山田=yamada 佐々木=sasaki 山口=yamaguchi 松本=matsumoto 井上=inoue 木村=kimura 清水=shimizu " +
				"斎藤=saito 森=mori",
			titles: []string{"旅のノート", "雨の朝に思うこと", "パンを焼く一年", "なぜ書くのか"},
			sentences: []string{
				"一日中雨が降っていた。", "駅前の店でコーヒーを飲んだ。", "失敗から学ぶことは多い。", "始めるのに多くは要らない。",
				"明日もう一度やってみる。",
			},
		},
		{
			share: 3, domain: "upyeon.example", familyFirst: true, gap: " ",
			given: "민준=minjun 서연=seoyeon 지우=jiwoo 하은=haeun 도윤=doyun 수빈=subin 예준=yejun 지민=jimin 현우=hyunwoo 유진=yujin " +
				"은지=eunji 태양=taeyang 소영=soyoung 준호=junho 미경=mikyung 성민=sungmin 나영=nayoung 동현=donghyun 혜진=hyejin 재석=jaeseok",
			family: "김=kim 이=lee 박=park 최=choi 정=jung 강=kang 조=cho 윤=yoon 장=jang 임=lim 한=han 오=oh 서=seo 신=shin 권=kwon " +
				"황=hwang 안=ahn 송=song 류=ryu 홍=hong",
			titles: []string{"여행 노트", "비 오는 아침", "빵을 굽는 한 해", "우리는 왜 쓰는가"},
			sentences: []string{
				"하루 종일 비가 내렸다.", "골목 끝 가게에서 차를 마셨다.", "실수에서 많은 것을 배웠다.",
				"시작하는 데 많은 것이 필요하지 않다.", "내일 다시 해 보기로 했다.",
			},
		},
		{
			share: 4, domain: "barid.example", gap: " ",
			given: "محمد=mohammed فاطمة=fatima أحمد=ahmed عائشة=aisha علي=ali مريم=maryam يوسف=yusuf زينب=zaynab خالد=khalid " +
				"ليلى=layla عمر=omar نور=nour حسن=hassan سلمى=salma إبراهيم=ibrahim هدى=huda طارق=tariq رنا=rana سامي=sami " +
				"ياسمين=yasmin",
			family: "الأحمد=alahmad النجار=alnajjar الخطيب=alkhatib المصري=almasri الحداد=alhaddad الشامي=alshami العلي=alali " +
				"القاسم=alqasim الزهراني=alzahrani البغدادي=albaghdadi التونسي=altounsi المنصور=almansour الصباغ=alsabbagh " +
				"الفارس=alfaris العمري=alomari الحكيم=alhakim الراشد=alrashid السعيد=alsaeed الكاتب=alkatib الناصر=alnasser",
			titles: []string{"ملاحظات من رحلة", "لماذا نكتب", "صباح في السوق", "وصفة جدتي"},
			sentences: []string{
				"هطل المطر طوال النهار.", "شربنا الشاي قرب النافذة.", "تعلمنا من أخطائنا الكثير.", "لا تحتاج البداية إلى الكثير.",
				"غدًا سنحاول من جديد.",
			},
		},
		{
			share: 3, domain: "dak.example", gap: " ",
			given: "आरव=aarav अनन्या=ananya अर्जुन=arjun दीपिका=deepika ईशा=isha गौरव=gaurav कविता=kavita मनोज=manoj नेहा=neha ओम=om " +
				"पूजा=pooja राहुल=rahul रोहन=rohan सीता=sita सुनील=sunil तारा=tara उमा=uma विजय=vijay यश=yash मीरा=meera",
			family: "शर्मा=sharma वर्मा=verma गुप्ता=gupta सिंह=singh कुमार=kumar मिश्रा=mishra पाण्डेय=pandey जोशी=joshi मेहता=mehta " +
				"अग्रवाल=agrawal चौधरी=chaudhary त्रिपाठी=tripathi सक्सेना=saxena भट्ट=bhatt देसाई=desai नायर=nair राव=rao यादव=yadav " +
				"ठाकुर=thakur दुबे=dubey",
			titles: []string{"यात्रा के कुछ नोट्स", "हम क्यों लिखते हैं", "बारिश की एक सुबह", "दादी की रसोई"},
			sentences: []string{
				"पूरे दिन बारिश होती रही।", "हमने खिड़की के पास बैठकर चाय पी।", "हमने अपनी गलतियों से बहुत कुछ सीखा।",
				"शुरू करने के लिए बहुत कुछ नहीं चाहिए।", "कल हम फिर कोशिश करेंगे।",
			},
		},
	}
}
