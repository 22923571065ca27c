"""The publications that the theory rests on."""

from api_schemas.prediction import Source

HASTIE = Source(
    title="Hastie, Montanari, Rosset, Tibshirani: Surprises in high-dimensional ridgeless least squares interpolation",
    reference="arXiv:1903.08560",
)
DOBRIBAN_WAGER = Source(
    title="Dobriban, Wager: High-dimensional asymptotics of prediction: ridge regression and classification",
    reference="arXiv:1507.03003",
)
BORDELON = Source(
    title="Bordelon, Canatar, Pehlevan: Spectrum dependent learning curves in kernel regression and wide neural networks",
    reference="arXiv:2002.02561",
)
SIMON = Source(
    title="Simon, Dickens, Karkada, DeWeese: The eigenlearning framework",
    reference="arXiv:2110.03922",
)
LIAO_MAHONEY = Source(
    title="Liao, Mahoney: Random matrix theory for deep learning: beyond eigenvalues of linear models",
    reference="arXiv:2506.13139",
)
CAPONNETTO_DE_VITO = Source(
    title="Caponnetto, De Vito: Optimal rates for the regularized least-squares algorithm",
    reference="doi:10.1007/s10208-006-0196-8",
)
CUI = Source(
    title="Cui, Loureiro, Krzakala, Zdeborova: Generalization error rates in kernel regression",
    reference="arXiv:2105.15004",
)
SIMON_WIDTH = Source(
    title="Simon, Karkada, Ghosh, Belkin: More is better: when infinite overparameterization is optimal and overfitting is"
    " obligatory",
    reference="arXiv:2311.14646",
)
DEFILIPPIS = Source(
    title="Defilippis, Loureiro, Misiakiewicz: Dimension-free deterministic equivalents and scaling laws for random feature"
    " regression",
    reference="arXiv:2405.15699",
)
KOBAK = Source(
    title="Kobak, Lomond, Sanchez: The optimal ridge penalty for real-world high-dimensional data can be zero or negative",
    reference="arXiv:1805.10939",
)
ATANASOV = Source(
    title="Atanasov, Zavatone-Veth, Pehlevan: Scaling and renormalization in high-dimensional regression",
    reference="arXiv:2405.00592",
)
MEI_MONTANARI = Source(
    title="Mei, Montanari: The generalization error of random features regression",
    reference="arXiv:1908.05355",
)
SCHROEDER = Source(
    title="Schröder, Cui, Dmitriev, Loureiro: Deterministic equivalent and error universality of deep random features learning",
    reference="arXiv:2302.00401",
)
PICCOLO = Source(
    title="Piccolo, Schröder: Analysis of one-hidden-layer neural networks via the resolvent method",
    reference="arXiv:2105.05115",
)
FAN_WANG = Source(
    title="Fan, Wang: Spectra of the conjugate kernel and neural tangent kernel for linear-width neural networks",
    reference="arXiv:2005.11879",
)
LIAO_FOURIER = Source(
    title="Liao, Couillet, Mahoney: A random matrix analysis of random Fourier features",
    reference="arXiv:2006.05013",
)
EL_KAROUI = Source(
    title="El Karoui: The spectrum of kernel random matrices",
    reference="arXiv:1001.0492",
)
JACOT = Source(
    title="Jacot, Gabriel, Hongler: Neural tangent kernel: convergence and generalization in neural networks",
    reference="arXiv:1806.07572",
)
LEE = Source(
    title="Lee, Bahri, Novak, Schoenholz, Pennington, Sohl-Dickstein: Deep neural networks as Gaussian processes",
    reference="arXiv:1711.00165",
)
GHORBANI = Source(
    title="Ghorbani, Mei, Misiakiewicz, Montanari: Linearized two-layers neural networks in high dimension",
    reference="arXiv:1904.12191",
)
XIAO = Source(
    title="Xiao, Hu, Misiakiewicz, Lu, Pennington: Precise learning curves and higher-order scaling limits for dot product"
    " kernel regression",
    reference="arXiv:2205.14846",
)
KAC = Source(
    title="Kac, Murdock, Szego: On the eigenvalues of certain Hermitian forms",
    reference="doi:10.1512/iumj.1953.2.52034",
)
ALI = Source(
    title="Ali, Kolter, Tibshirani: A continuous-time view of early stopping for least squares regression",
    reference="arXiv:1810.10082",
)
LIAO_COUILLET_DYNAMICS = Source(
    title="Liao, Couillet: The dynamics of learning: a random matrix approach", reference="arXiv:1805.11917"
)
BACH = Source(
    title="Bach: High-dimensional analysis of double descent for linear regression with random projections",
    reference="arXiv:2303.01372",
)
MAI_LIAO = Source(
    title="Mai, Liao: High dimensional classification via regularized and unregularized empirical risk minimization: precise"
    " error and optimal loss",
    reference="arXiv:1905.13742",
)
MAI_LIAO_LOGISTIC = Source(
    title="Mai, Liao, Couillet: A large scale analysis of logistic regression: asymptotic performance and new insights",
    reference="doi:10.1109/ICASSP.2019.8683376",
)
MIGNACCO = Source(
    title="Mignacco, Krzakala, Lu, Urbani, Zdeborova: The role of regularization in classification of high-dimensional noisy"
    " Gaussian mixture",
    reference="arXiv:2002.11544",
)
LOUREIRO = Source(
    title="Loureiro et al.: Learning curves of generic features maps for realistic datasets with a teacher-student model",
    reference="arXiv:2102.08127",
)
CANDES_SUR = Source(
    title="Candes, Sur: The phase transition for the existence of the maximum likelihood estimate in high-dimensional logistic"
    " regression",
    reference="arXiv:1804.09753",
)
MONTANARI = Source(
    title="Montanari, Ruan, Sohn, Yan: The generalization error of max-margin linear classifiers",
    reference="arXiv:1911.01544",
)
ZOLLANVARI = Source(
    title="Zollanvari, Dougherty: Generalized consistent error estimator of linear discriminant analysis",
    reference="doi:10.1109/TSP.2015.2419190",
)
ELKHALIL = Source(
    title="Elkhalil, Kammoun, Couillet, Al-Naffouri, Alouini: A large dimensional study of regularized discriminant analysis",
    reference="arXiv:1711.00382",
)
PAQUETTE = Source(
    title="Paquette, Paquette, Adlam, Pennington: Homogenization of SGD in high-dimensions: exact dynamics and generalization"
    " properties",
    reference="arXiv:2205.07069",
)
COLLINS_WOODFIN = Source(
    title="Collins-Woodfin, Paquette, Paquette, Seroussi: Hitting the high-dimensional notes: an ODE for SGD learning dynamics"
    " on GLMs and multi-index models",
    reference="arXiv:2308.08977",
)
SAAD_SOLLA = Source(
    title="Saad, Solla: On-line learning in soft committee machines", reference="doi:10.1103/PhysRevE.52.4225"
)
GOLDT_NETWORKS = Source(
    title="Goldt, Advani, Saxe, Krzakala, Zdeborova: Dynamics of stochastic gradient descent for two-layer neural networks in"
    " the teacher-student setup",
    reference="arXiv:1906.08632",
)
SILVERSTEIN = Source(
    title="Silverstein: Strong convergence of the empirical distribution of eigenvalues of large dimensional random matrices",
    reference="doi:10.1006/jmva.1995.1083",
)
BAIK_SILVERSTEIN = Source(
    title="Baik, Silverstein: Eigenvalues of large sample covariance matrices of spiked population models",
    reference="arXiv:math/0408165",
)
COUILLET_LIAO = Source(
    title="Couillet, Liao: Random matrix methods for machine learning", reference="doi:10.1017/9781009128490"
)
BENAYCH_NADAKUDITI = Source(
    title="Benaych-Georges, Nadakuditi: The eigenvalues and eigenvectors of finite, low rank perturbations of large random"
    " matrices",
    reference="arXiv:0910.2120",
)
CHENG_SINGER = Source(
    title="Cheng, Singer: The spectrum of random inner-product kernel matrices", reference="arXiv:1202.3155"
)
LIAO_COUILLET = Source(
    title="Liao, Couillet: Inner-product kernels are asymptotically equivalent to binary discrete kernels",
    reference="arXiv:1909.06788",
)
BAI_SILVERSTEIN = Source(
    title="Bai, Silverstein: CLT for linear spectral statistics of large-dimensional sample covariance matrices",
    reference="doi:10.1214/aop/1078415845",
)
JACOT_KARE = Source(
    title="Jacot, Simsek, Spadaro, Hongler, Gabriel: Kernel alignment risk estimator: risk prediction from training data",
    reference="arXiv:2006.09796",
)
WEI_HU_STEINHARDT = Source(
    title="Wei, Hu, Steinhardt: More than a toy: random matrix models predict how real-world neural representations generalize",
    reference="arXiv:2203.06176",
)
PATIL_DU = Source(
    title="Patil, Du: Generalized equivalences between subsampling and ridge regularization",
    reference="arXiv:2305.18496",
)
